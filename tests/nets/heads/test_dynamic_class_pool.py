"""The class pool over several steps against its rules in plain loops; what is saved, exported, loaded and refused."""

from functools import partial
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from safetensors.numpy import save_file

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import DataError, UserError
from ppface.engine import checkpoint, export, run
from ppface.engine.step import Step
from ppface.engine.world import World
from ppface.losses import ClassPoolLoss
from ppface.nets.heads import DynamicClassPool
from ppface.nets.model import FaceModel, Input
from ppface.nets.weights import load_weights
from ppface.optim import Momentum

ROOT = Path(__file__).resolve().parents[3]
D, K, HALF, DECAY = 4, 6, 5, 0.8
MARGINS = {"AM": 0.4, "Arc": 0.5, "SV": 0.3}
HALVES = [  # labels of x and y in three steps: outliers, identities that come again, one twice in a half, and some that lose their slots
    ([0, 1, 2, 3, 4], [0, 1, 2, 5, 6]),
    ([5, 1, 7, 3, 3], [5, 1, 7, 8, 1]),
    ([0, 8, 2, 9, 4], [0, 8, 2, 5, 7]),
]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def with_margin(cosines, target, kind):
    m, own = MARGINS[kind], cosines[target]
    if kind == "SV":
        cosines = [1.2 * c + 0.2 if c > own - m else c for c in cosines]
    cosines = list(cosines)
    cosines[target] = {"AM": own - m, "Arc": np.cos(np.arccos(own) + m), "SV": own - m if own > m else own}[kind]
    return cosines


class ByHand:
    """The pool, and a gallery of one linear layer, in float64."""

    def __init__(self, planes, kind):
        self.planes, self.kind, self.order, self.turn, self.gallery = planes.astype("float64"), kind, [], [0] * K, None

    def one_pass(self, probe, probe_ids, entering, ids, keep):
        planes, order, turn, refreshed, loss = self.planes.copy(), list(self.order), list(self.turn), set(), 0.0
        for row, who in zip(entering, ids, strict=True):
            if who in dict(order):
                slot = dict(order)[who]
                order.remove((who, slot))
                refreshed.add(slot)
                plane = turn[slot]
            else:
                slot, plane = (len(order) if len(order) < K else order.pop()[1]), 0
            planes[plane, slot], turn[slot] = row, 1 - plane
            order.insert(0, (who, slot))
        slots = dict(order)
        for plane in (0, 1):
            centres = [planes[plane if slot in refreshed else 0, slot] for slot in range(K)]
            inside, outside = [], []
            for row, who in zip(probe, probe_ids, strict=True):
                cosines = [row @ centre for centre in centres]
                if who in slots:
                    logits = 32 * np.array(with_margin(cosines, slots[who], self.kind))
                    inside.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[slots[who]])
                else:
                    outside.append(np.mean([max(c, 0) for c in sorted(cosines)[-3:]]))
            loss += (np.mean(inside) if inside else 0) + (np.mean(outside) if outside else 0)
        if keep:
            self.planes, self.order, self.turn = planes, order, turn
        return loss

    def moved(self, weights):
        """The gallery's weights after its move towards those of the trained network, (12, D) and (D,)."""
        return [DECAY * g + (1 - DECAY) * w for g, w in zip(self.gallery or weights, weights, strict=True)]

    def step(self, weights, gallery, images, labels, keep):
        (x, y), (p, g) = labels, (unit(images @ w + b) for w, b in (weights, gallery))
        first = self.one_pass(p[:HALF], x, g[HALF:], y, False)
        return first + self.one_pass(p[HALF:], y, g[:HALF], x, keep)


class Flat(nn.Layer):
    """A backbone of one linear layer, with batch norm or without."""

    any_size, input_size, out_channels = False, (2, 2), [D]

    def __init__(self, norm=False):
        super().__init__()
        self.linear, self.norm = nn.Linear(12, D), nn.BatchNorm1D(D) if norm else nn.Identity()

    def forward(self, x):
        return self.norm(self.linear(x.flatten(1)))


def network(norm=False, **options):
    paddle.seed(2)
    options = {"class_num": 10, "slots": K, "decay": DECAY} | options
    return FaceModel(Input((2, 2), [99.0] * 3, [50.0] * 3), Flat(norm), partial(DynamicClassPool, embedding_size=D, **options))


def batch_of(step, labels=None):
    pixels = np.random.default_rng(step).integers(0, 256, (2 * HALF, 3, 2, 2)).astype("uint8")
    labels = HALVES[step % 3] if labels is None else labels
    return {"image": paddle.to_tensor(pixels), "label": paddle.to_tensor(np.concatenate(labels))}


def train(model, optimizer, steps) -> dict:
    for number in steps:
        batch = batch_of(number)
        sum(ClassPoolLoss()(model(batch), batch).values()).backward()
        optimizer.step()
        optimizer.clear_grad()
    return checkpoint.remember(Step(model, []), optimizer, None)


def begin(norm=False, **options):
    model = network(norm, **options)
    return model, Momentum([p for p in model.parameters() if not p.stop_gradient], 1, 1, 0.05)


@pytest.mark.parametrize("kind", MARGINS)
def test_order_planes_gallery_loss_and_gradient_of_three_steps(kind):
    model, optimizer = begin(margin=kind, m=MARGINS[kind])
    head, linear, seen = model.head, model.backbone.linear, set()
    hand = ByHand(head.planes.numpy(), kind)
    for step in range(3):
        batch = batch_of(step)
        images = (batch["image"].numpy().reshape(2 * HALF, 12) - 99.0) / 50
        weights = [w.numpy().astype("float64") for w in (linear.weight, linear.bias)]
        gallery, slope = hand.moved(weights), np.zeros((12, D))
        for place in np.ndindex(slope.shape):  # no gradient goes through the gallery
            for sign in (1, -1):
                nudged = [weights[0].copy(), weights[1]]
                nudged[0][place] += sign * 1e-5
                slope[place] += sign * hand.step(nudged, gallery, images, HALVES[step], keep=False) / 2e-5
        want = hand.step(weights, gallery, images, HALVES[step], keep=True)
        hand.gallery = gallery
        outputs = model(batch)
        loss = sum(ClassPoolLoss()(outputs, batch).values())
        assert float(loss) == pytest.approx(want, rel=1e-5)
        loss.backward()
        np.testing.assert_allclose(linear.weight.grad.numpy(), slope, rtol=1e-3, atol=1e-3)
        optimizer.step()
        optimizer.clear_grad()
        identity, turn, used = head.slots.numpy()
        assert [(identity[slot], slot) for slot in np.argsort(-used)[: len(hand.order)]] == hand.order
        assert turn.tolist() == hand.turn
        np.testing.assert_allclose(head.planes.numpy(), hand.planes, atol=1e-6)
        for ours, theirs in zip(head.gallery.linear.parameters(), hand.gallery, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)
        seen |= {who for who, _ in hand.order}
    assert len(seen) > K  # some have lost their slots


def test_statistics_of_batch_norm_are_not_averaged():
    model, optimizer = begin(norm=True, decay=0.0)  # parameters as the backbone's: the same pictures give the same statistics
    train(model, optimizer, [0])
    model.head.gallery.norm._mean.set_value(model.backbone.norm._mean)
    train(model, optimizer, [1])
    ours, theirs = model.head.gallery.norm._mean.numpy(), model.backbone.norm._mean.numpy()
    np.testing.assert_array_equal(ours, theirs)
    assert abs(ours).max() > 0


def test_a_run_resumed_in_the_middle_gives_the_bytes_of_an_uninterrupted_one():
    whole, saved = train(*begin(True), range(6)), train(*begin(True), range(3))
    model, optimizer = begin(True)
    checkpoint.put(model.state_dict(), saved["weights.safetensors"], "weights")
    checkpoint.put(checkpoint.optimizer_tensors(optimizer, Step(model, [])), saved["optimizer.safetensors"], "optimizer")
    resumed = train(model, optimizer, range(3, 6))
    assert {"head.planes", "head.slots", "head.gallery.linear.weight"} <= set(whole["weights.safetensors"])
    assert not any("gallery" in name for name in whole["optimizer.safetensors"])
    for file, arrays in whole.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, resumed[file][name], err_msg=name)


@pytest.mark.parametrize("name", ["head.planes", "head.slots", "head.gallery.linear.weight"])
def test_without_a_part_of_its_state_a_resumed_run_would_differ(name):
    whole, saved = train(*begin(), range(6)), train(*begin(), range(3))
    model, optimizer = begin()
    checkpoint.put(model.state_dict(), saved["weights.safetensors"] | {name: model.state_dict()[name].numpy()}, "weights")
    checkpoint.put(checkpoint.optimizer_tensors(optimizer, Step(model, [])), saved["optimizer.safetensors"], "optimizer")
    resumed = train(model, optimizer, range(3, 6))
    assert not np.array_equal(
        whole["weights.safetensors"]["backbone.linear.weight"], resumed["weights.safetensors"]["backbone.linear.weight"]
    )


def test_exports_and_weight_files_need_nothing_of_the_pool(tmp_path):
    model, optimizer = begin(True)
    train(model, optimizer, range(2))
    plain = network(True, class_num=None)
    save_file(
        {name: value.numpy() for name, value in model.state_dict().items() if name.startswith("backbone.")}, tmp_path / "w.safetensors"
    )
    for one in (plain, fresh := network(True)):
        load_weights(one, tmp_path / "w.safetensors")
    for name, one in (("pool", model), ("plain", plain)):
        (tmp_path / name).mkdir()
        export.write(one, tmp_path / name, {})
    assert (tmp_path / "pool/model.pdiparams").read_bytes() == (tmp_path / "plain/model.pdiparams").read_bytes()
    assert set(fresh.predictor()({"image": batch_of(0)["image"].numpy()})) == {"embedding", "norm"}
    fresh(batch_of(0))  # an empty pool: the gallery begins as a copy of the weights that were loaded
    np.testing.assert_allclose(fresh.head.gallery.linear.weight.numpy(), model.backbone.linear.weight.numpy(), rtol=1e-6)


def test_in_evaluation_nothing_moves():
    model, optimizer = begin()
    train(model, optimizer, range(2))
    model.eval()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    assert np.isfinite(float(ClassPoolLoss()(model(batch_of(2)), {})["ce"]))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)


@pytest.mark.parametrize("labels", [([3], [4]), ([3], [3])])
def test_a_pool_of_one_slot(labels):
    model = network(slots=1)
    batch = batch_of(0, labels) | {"image": batch_of(0)["image"][:2]}
    for _ in range(3):
        outputs = model(batch)
        values = ClassPoolLoss()(outputs, batch)
        sum(values.values()).backward()
    same = labels[0] == labels[1]
    assert float(values["ce"]) == 0  # the only class there is
    assert outputs["outlier_cosine"].shape == [0 if same else 4, 1] and (float(values["outlier"]) == 0 or not same)
    assert model.head.slots.numpy()[0].tolist() == labels[0] and np.isfinite(model.backbone.linear.weight.grad.numpy()).all()


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled on CUDAPlace")
@pytest.mark.parametrize("kind", MARGINS)
def test_low_precision_zero_embeddings_and_equal_directions_give_finite_gradients(kind):
    model = network(margin=kind, m=MARGINS[kind])
    batch = batch_of(0)
    model(batch)
    rows = np.zeros((2 * HALF, D), "float32")
    rows[1], rows[2] = model.head.planes.numpy()[0, 1] * 7, -model.head.planes.numpy()[0, 2]
    embedding = paddle.to_tensor(rows, stop_gradient=False)
    with paddle.amp.auto_cast(dtype="bfloat16"):
        outputs = model.head(embedding.astype("bfloat16"), batch["label"], batch["image"])
        loss = sum(ClassPoolLoss()(outputs, batch).values())
    loss.backward()
    assert {outputs[name].dtype for name in ("pool_logits", "outlier_cosine", "embedding")} == {paddle.float32}
    assert np.isfinite(float(loss)) and np.isfinite(embedding.grad.numpy()).all() and not embedding.grad.numpy()[0].any()


def test_memory_follows_the_slots():
    sizes = {people: sum(value.size for value in network(class_num=people).state_dict().values()) for people in (10, 10_000_000)}
    assert sizes[10] == sizes[10_000_000]


def test_mistakes_are_named_before_anything_changes():
    model = network(slots=4)
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = "expected model.head.slots of at least 5, half of train.batch_size=10, received 4: use more slots or a smaller batch"
    with pytest.raises(UserError) as caught:
        model(batch_of(0))
    assert str(caught.value) == f"DynamicClassPool: {expected}"
    odd = {name: value[:3] for name, value in batch_of(0).items()}
    with pytest.raises(UserError) as caught:
        model(odd)
    assert str(caught.value) == "DynamicClassPool: expected train.batch_size to be a multiple of 2, two halves in each process, received 3"
    with pytest.raises(DataError, match=r"^DynamicClassPool: expected labels in 0..9 \(class_num=10\), received 10$"):
        model(batch_of(0, ([0, 1, 2, 3, 4], [5, 6, 7, 8, 10])))
    with pytest.raises(DataError, match=r"^DynamicClassPool: expected the images of the labels for its gallery, received none$"):
        model.head(paddle.rand([4, D]), paddle.to_tensor([0, 1, 2, 3]))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    with pytest.raises(
        ValueError, match=r"^DynamicClassPool: expected slots of at least 1, m >= 0, s > 0, .* received slots=0, m=0.4, s=32"
    ):
        network(slots=0)


def test_a_run_with_too_small_a_pool_is_refused_before_its_first_step(tmp_path):
    overrides = ["model.head.slots=15", "evaluators=[]", "train.dataset.identities=9", "train.dataset.images=4", "processes=1"]
    config = load_config(ROOT / "configs/quickstart/class_pool.yml", overrides)
    world = World("cpu")
    loader = run.open_data(config, world)
    with pytest.raises(UserError, match=r"expected model.head.slots of at least 16, half of train.batch_size=32, received 15"):
        run.assemble(config, world, tmp_path / "run", build_model(config), loader, {})


def test_a_misspelt_margin_is_refused_without_a_config_too():
    with pytest.raises(ValueError, match="DynamicClassPool: expected margin to be AM, Arc or SV, received 'arc'"):
        DynamicClassPool(D, nn.Linear(D, D), 10, K, margin="arc")
