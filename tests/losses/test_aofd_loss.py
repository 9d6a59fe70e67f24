"""AOFD: the masked pass, the reversed gradient and the occlusion branch against loops."""

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from ppface.core.errors import DataError
from ppface.losses import AOFDLoss, SSDLoss, aofd_loss
from ppface.nets.heads import FaceHead
from ppface.nets.model import FaceModel, Input
from ppface.nets.necks import FPN

SIZE = (48, 64)


class Two(nn.Layer):
    """Two feature maps of cells of 4 and 8 pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out_channels = nn.Conv2D(3, 6, 5, 4, 2), nn.Conv2D(6, 8, 3, 2, 1), [6, 8]

    def forward(self, x):
        x = nn.functional.relu(self.first(x))
        return [x, nn.functional.relu(self.second(x))]


def detector(landmarks=0, context="ssh") -> FaceModel:
    paddle.seed(1)
    model = FaceModel(
        Input(SIZE, [127.5] * 3, [64.0] * 3),
        Two(),
        lambda in_channels: FaceHead(in_channels, [[8, 14], [22, 32]], [4, 8], landmarks),
        lambda in_channels: FPN(in_channels, 8, context=context),
    )
    model.train()
    return model


def data(rng, count=2, occlusion=False) -> dict:
    boxes = np.zeros((count, 3, 4), "float32")
    boxes[0] = [[4, 6, 26, 34], [30, 10, 39, 20], [20, 20, 52, 46]]
    if count > 1:
        boxes[1, :1] = [[33, 3, 43, 14]]
    batch = {
        "image": rng.integers(0, 256, (count, 3, *SIZE)).astype("uint8"),
        "gt_boxes": boxes,
        "gt_count": np.array([3, 1][:count]),
        "gt_landmarks": rng.uniform(0, 48, (count, 3, 5, 2)).astype("float32"),
        "gt_has_landmarks": np.ones((count, 3), bool),
    }
    if occlusion:
        batch["gt_occlusion"] = rng.choice(np.array([0, 1, 255], "uint8"), (count, *SIZE), p=[0.5, 0.4, 0.1])
    return {key: paddle.to_tensor(value) for key, value in batch.items()}


def gradients(layer) -> dict:
    return {name: value.grad.numpy().tobytes() for name, value in layer.named_parameters() if value.grad is not None}


def backward(model, loss, batch) -> dict:
    model.clear_gradients()
    loss.clear_gradients()
    paddle.seed(5)
    losses = loss(model(batch), batch)
    sum(losses.values()).backward()
    return losses


def spied(loss, name) -> list:
    """The first argument of every later call of a method."""
    seen, method = [], getattr(loss, name)
    setattr(loss, name, lambda first, *rest: seen.append(first) or method(first, *rest))
    return seen


def test_without_masks_it_is_the_ssd_loss_to_the_byte(rng):
    batch, plain, model = data(rng), detector(), detector()
    want, got = backward(plain, SSDLoss(), batch), backward(model, AOFDLoss(model, masks=["none"]), batch)
    assert {name: float(got[name]) for name in ("masked", "compact", "occlusion")} == {"masked": 0, "compact": 0, "occlusion": 0}
    assert all(got[name].numpy().tobytes() == value.numpy().tobytes() for name, value in want.items())
    assert gradients(plain) == gradients(model)


@pytest.mark.parametrize("context", ["ssh", None])
@pytest.mark.parametrize("kind", ["generated", "random", "half", "landmarks"])
def test_the_masked_term_is_the_score_loss_of_masked_levels_with_the_same_negatives(rng, kind, context):
    batch, model = data(rng), detector(context=context)
    loss = AOFDLoss(model, SSDLoss(conf_weight=2.0), masks=[kind], weight=0.5)
    masks, maps = spied(loss, "_pasted"), spied(loss, "_masked")
    outputs = model(batch)
    got = loss(outputs, batch)["masked"]
    hidden = (masks[0].numpy() == 0).sum(axis=(1, 2))
    assert set(np.unique(masks[0].numpy())) <= {0.0, 1.0} and hidden.sum() > 0
    assert kind not in ("generated", "random") or (hidden == 15).all()
    again = model.head.logits(model.neck.in_context([x * mask for x, mask in zip(outputs["levels"], maps[0], strict=True)])).numpy()
    matched = loss.ssd.matched(outputs, batch)
    total = 0.0
    for before, after, mine in zip(outputs["logits"].numpy(), again, matched >= 0, strict=True):
        first, second = (
            [math.log(sum(np.exp(two))) - two[0 if own else 1] for two, own in zip(x, mine, strict=True)] for x in (before, after)
        )
        negatives = sorted((a for a in range(len(mine)) if not mine[a]), key=lambda a: -first[a])[: 3 * max(1, mine.sum())]
        total += sum(second[a] for a in [*np.flatnonzero(mine), *negatives])
    assert float(got) == pytest.approx(0.5 * 2.0 * total / (matched >= 0).sum(), rel=1e-4)


def test_masks_hide_only_cells_of_faces_on_the_levels_of_their_anchors(rng):
    batch, model = data(rng), detector()
    loss = AOFDLoss(model, masks=["half"])
    maps = spied(loss, "_masked")
    loss(model(batch), batch)
    for level, step in enumerate((4, 8)):
        for at, row, column in np.argwhere(maps[0][level].numpy()[:, 0] == 0):
            x, y = (column + 0.5) * step, (row + 0.5) * step
            assert any(x1 <= x < x2 and y1 <= y < y2 for x1, y1, x2, y2 in batch["gt_boxes"].numpy()[at])
    assert (maps[0][0].numpy() == 0).any() and (maps[0][1].numpy() == 0).any()
    assert (maps[0][1].numpy()[1] == 1).all()  # the face of ten pixels in the second picture has anchors on the first level alone


def test_the_masks_come_in_turn_and_another_step_draws_others(rng):
    batch, model = data(rng), detector()
    loss = AOFDLoss(model)
    masked = [float(loss(model(batch), batch)["masked"]) for _ in range(8)]
    assert [value == 0 for value in masked] == [False, False, False, True] * 2
    assert masked[1] != masked[5] and int(loss.step) == 8
    loss.eval()
    assert list(loss(model(batch), batch)) == ["loc", "conf"] and int(loss.step) == 8


def test_the_generator_gets_the_reversed_gradient_and_the_detector_the_true_one(rng, monkeypatch):
    batch, found = data(rng), {}
    for name in ("reversed", "plain"):
        model = detector()
        loss = AOFDLoss(model, masks=["generated"], compactness=0.0, reversal_steps=100)
        loss.step.set_value(paddle.to_tensor(25))
        if name == "plain":
            monkeypatch.setattr(aofd_loss, "reverse_gradient", lambda x, factor: x)
        backward(model, loss, batch)
        found[name] = (
            gradients(model),
            {key: value.grad.numpy() for key, value in loss.generator.named_parameters() if value.grad is not None},
        )
    assert found["reversed"][0] == found["plain"][0]
    factor = 2 / (1 + math.exp(-2.5)) - 1
    for key, value in found["plain"][1].items():
        assert np.abs(value).max() > 0, key
        np.testing.assert_allclose(found["reversed"][1][key], -factor * value, rtol=1e-3, atol=1e-7 * np.abs(value).max())


def test_compactness_sums_the_differences_of_neighbours(rng):
    batch, model = data(rng), detector()
    loss = AOFDLoss(model, masks=["generated"], compactness=0.25)
    features = spied(loss, "_features_of")
    where = []
    loss._features_of = lambda levels, at, method=loss._features_of: where.append(at) or method(levels, at)
    got = loss(model(batch), batch)["compact"]
    scores = loss.generator(type(loss)._features_of(loss, features[0], where[0])).numpy()
    total = sum(
        abs(one[i, j] - one[i + down, j + right])
        for one in scores
        for i in range(7)
        for j in range(7)
        for down, right in ((0, 1), (1, 0))
        if i + down < 7 and j + right < 7
    )
    assert float(got) == pytest.approx(0.25 * total / len(scores), rel=1e-5)


def test_windows_hold_the_features_at_the_centres_of_their_cells(rng):
    model = detector()
    loss = AOFDLoss(model)
    levels = [paddle.to_tensor(rng.normal(size=(2, 3, 12, 16)).astype("float32")), paddle.zeros([2, 3, 6, 8])]
    box = np.array([[8.0, 10.0, 43.0, 31.0]], "float32")
    got = loss._features_of(levels, (np.array([0]), np.array([1]), box)).numpy()
    plane = levels[0].numpy()[1]
    for row in range(7):
        for column in range(7):
            x, y = (8 + (column + 0.5) * 5) / 4 - 0.5, (10 + (row + 0.5) * 3) / 4 - 0.5  # the centre of the first cell is 0
            j, i = int(x), int(y)
            right, down = x - j, y - i
            above, below = ((1 - right) * plane[:, at, j] + right * plane[:, at, j + 1] for at in (i, i + 1))
            np.testing.assert_allclose(got[0, :, row, column], (1 - down) * above + down * below, atol=1e-5)


def test_the_occlusion_branch_learns_cells_of_faces_whose_occlusion_is_known(rng):
    batch, model = data(rng, occlusion=True), detector()
    loss = AOFDLoss(model, masks=["none"], occlusion_weight=0.5)
    outputs = model(batch)
    rows, got = spied(loss, "_windows"), loss(outputs, batch)["occlusion"]
    level, image, face = AOFDLoss._windows(loss, rows[0], loss.ssd.matched(outputs, batch), rng)
    weight, bias = loss.occlusion.weight.numpy()[:, :, 0, 0], loss.occlusion.bias.numpy()
    total, count = 0.0, 0
    for number, (feature, step) in enumerate(zip(outputs["features"], (4, 8), strict=True)):
        for at, row, column in np.ndindex(feature.shape[0], *feature.shape[2:]):
            x, y = (column + 0.5) * step, (row + 0.5) * step
            mine = [batch["gt_boxes"].numpy()[at, f] for one, i, f in zip(level, image, face, strict=True) if one == number and i == at]
            pixels = batch["gt_occlusion"].numpy()[at, row * step : (row + 1) * step, column * step : (column + 1) * step]
            known = pixels[pixels != 255]
            if any(x1 <= x < x2 and y1 <= y < y2 for x1, y1, x2, y2 in mine) and 2 * len(known) >= step * step:
                two = weight @ feature.numpy()[at, :, row, column] + bias
                total += math.log(np.exp(two).sum()) - two[int((known == 1).mean() >= 0.5)]
                count += 1
    assert count > 20 and float(got) == pytest.approx(0.5 * total / count, rel=1e-4)
    got.backward()
    assert np.abs(model.neck.lateral[0].conv.weight.grad.numpy()).max() > 0  # the branch's gradient reaches the features


def test_without_known_occlusion_the_branch_is_off(rng):
    model = detector()
    loss = AOFDLoss(model)
    unknown = data(rng) | {"gt_occlusion": paddle.full([2, *SIZE], 255, "uint8")}
    for batch in (data(rng), unknown):
        assert float(backward(model, loss, batch)["occlusion"]) == 0
    assert np.abs(loss.occlusion.weight.grad.numpy()).max() == 0
    assert AOFDLoss(model, occlusion_weight=0.0).occlusion is None


def test_the_second_pass_leaves_the_statistics_of_batch_norm(rng):
    batch, plain, model = data(rng), detector(), detector()
    backward(plain, SSDLoss(), batch)
    backward(model, AOFDLoss(model, masks=["random"]), batch)
    want, got = plain.state_dict(), model.state_dict()
    moved = [name for name in want if name.endswith("._mean")]
    assert moved and all(want[name].numpy().tobytes() == got[name].numpy().tobytes() for name in want)
    assert all(layer._momentum == 0.9 for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D))


def test_a_batch_without_faces_has_no_masks(rng):
    batch, model = data(rng, 1), detector()
    batch |= {"gt_boxes": paddle.zeros([1, 1, 4]), "gt_count": paddle.to_tensor([0])}
    loss = AOFDLoss(model, masks=["generated", "half"])
    for _ in range(2):
        losses = backward(model, loss, batch)
        assert float(losses["masked"]) == 0 and math.isfinite(float(losses["conf"]))


def test_of_many_faces_as_many_as_asked_for_are_masked(rng):
    batch, model = data(rng), detector()
    loss = AOFDLoss(model, faces=2)
    outputs = model(batch)
    matched = loss.ssd.matched(outputs, batch)
    every = AOFDLoss(model)._windows(outputs["levels"], matched, rng)
    seen = set()
    for _ in range(30):
        level, image, face = loss._windows(outputs["levels"], matched, rng)
        assert np.bincount(image).max() <= 2 and (np.diff(level * 10 + image) >= 0).all()
        seen |= set(zip(level.tolist(), image.tolist(), face.tolist(), strict=True))
    assert seen == set(zip(*(part.tolist() for part in every), strict=True)) and np.bincount(every[1])[0] > 2


def test_every_parameter_has_a_gradient_in_every_step(rng):
    batch, model = data(rng), detector()
    loss = AOFDLoss(model, masks=["none"])
    backward(model, loss, batch)
    assert all((value.grad.numpy() == 0).all() for value in loss.parameters() if not value.stop_gradient)


def test_a_trained_generator_costs_a_frozen_detector_more_than_chance(rng):
    batch, model = data(rng), detector()
    for parameter in model.parameters():
        parameter.stop_gradient = True
    loss = AOFDLoss(model, masks=["generated"], compactness=0.0, candidates=15)
    loss.step.set_value(paddle.to_tensor(10**6))  # the full factor
    adam = paddle.optimizer.Adam(0.02, parameters=[value for value in loss.generator.parameters() if not value.stop_gradient])
    outputs = model(batch)

    def masked(kind: str) -> float:
        loss.masks = [kind]
        return float(np.mean([float(loss(outputs, batch)["masked"]) for _ in range(15)]))

    for _ in range(40):
        loss(outputs, batch)["masked"].backward()
        adam.step()
        adam.clear_grad()
    assert masked("generated") > masked("random") + 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"dropped": 21},
            "AOFDLoss: expected masks, and 0 < dropped <= candidates <= cells * cells, received "
            "masks=['generated', 'random', 'half', 'none'], dropped=21, candidates=20, cells=7",
        ),
        (
            {"masks": []},
            "AOFDLoss: expected masks, and 0 < dropped <= candidates <= cells * cells, received masks=[], dropped=15, candidates=20, cells=7",
        ),
        (
            {"weight": -1.0},
            "AOFDLoss: expected faces and reversal_steps of at least 1 and weights of at least 0, received "
            "faces=32, reversal_steps=1000, weight=-1.0, compactness=1e-05, occlusion_weight=1.0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        AOFDLoss(detector(), **arguments)
    assert str(error.value) == message


def test_landmarks_that_the_data_does_not_have_are_named(rng):
    batch, model = data(rng), detector()
    del batch["gt_landmarks"]
    with pytest.raises(DataError) as error:
        AOFDLoss(model, masks=["landmarks"])(model(batch), batch)
    assert str(error.value) == "AOFDLoss: expected five or six landmarks in gt_landmarks for masks by landmarks, received none"


def test_without_a_list_of_labelled_faces_all_have_landmarks(rng):
    batch, model = data(rng), detector()
    loss, found = AOFDLoss(model, masks=["landmarks"]), []
    for given in (batch, {key: value for key, value in batch.items() if key != "gt_has_landmarks"}):
        loss.step.set_value(paddle.zeros([], "int64"))
        found.append(float(backward(model, loss, given)["masked"]))
    assert found[0] == found[1] > 0
