"""The variances of UncertaintyHead by hand, what trains of the model, what it exports, and backbones that it cannot have."""

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from ppface import predict
from ppface.core.config.spec import build_model, resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import ConfigError, UserError
from ppface.engine import export
from ppface.losses import MLSLoss
from ppface.nets.heads import UncertaintyHead
from ppface.nets.model import FaceModel, Input
from ppface.optim import Momentum
from tests.nets.heads.test_margins import differences

CONFIG = """
model:
  input: {{size: [32, 32], mean: [127.5, 127.5, 127.5], std: [127.5, 127.5, 127.5]}}
  backbone: {backbone}
  head: {{name: UncertaintyHead}}
  freeze: [backbone]
loss: {{name: MLSLoss}}
"""


class Tiny(nn.Layer):
    any_size = keeps_map = False

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2D(3, 4, 3, 4), nn.BatchNorm2D(4), nn.Linear(16, 8)
        self.out_channels, self.map_shape, self.input_size = [8], (4, 2, 2), (8, 8)

    def forward(self, x):
        last = self.norm(self.conv(x))
        embedding = self.linear(last.flatten(1))
        return (embedding, last) if self.keeps_map else embedding


def tiny(freeze="backbone", **arguments):
    paddle.seed(0)

    def head(in_channels, backbone):
        return UncertaintyHead(in_channels, backbone, **arguments)

    return FaceModel(Input((8, 8), [127.5] * 3, [127.5] * 3), Tiny(), head, freeze=[freeze])


def of_config(backbone):
    return build_model(resolve(parse(CONFIG.format(backbone=backbone), "small.yml")))


def pictures(count=4, side=8):
    return paddle.to_tensor(np.random.default_rng(0).integers(0, 256, (count, 3, side, side)).astype("uint8"))


def normalised(x, mean, variance):
    return (x - mean) / np.sqrt(variance + 1e-3)


def by_hand(head, embedding, last, moments=None):
    """`moments`: mean and variance of both batch norms; None: those of the batch."""
    weights = [layer.weight.numpy().astype("float64") for layer in (head.fc1, head.fc2)]
    x = np.array([sum(row[k] * weights[0][k] for k in range(len(row))) for row in last.reshape(len(last), -1)])
    x = normalised(x, *(moments[0] if moments else (x.mean(0), x.var(0)))) * head.bn1.weight.numpy() + head.bn1.bias.numpy()
    x = np.maximum(x, 0) @ weights[1]
    z = normalised(x, *(moments[1] if moments else (x.mean(0), x.var(0))))
    log_variance = np.log(1e-6 + np.exp(head.scale.item() * z + head.shift.item()))
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True), np.exp(log_variance)


@pytest.mark.parametrize("training", [True, False])
def test_the_variance_is_that_of_the_paper(training, rng):
    head = tiny(scale=0.5, shift=-2.0).head
    head.train() if training else head.eval()
    for array in (head.bn1.weight, head.bn1.bias, head.bn1._mean, head.bn1._variance, head.bn2._mean, head.bn2._variance):
        array.set_value(rng.uniform(0.5, 1.5, array.shape).astype("float32"))
    embedding, last = rng.normal(size=(6, 8)), rng.normal(size=(6, 4, 2, 2))
    moments = None if training else [(norm._mean.numpy(), norm._variance.numpy()) for norm in (head.bn1, head.bn2)]
    mean, variance = by_hand(head, embedding, last, moments)
    outputs = head([paddle.to_tensor(x, "float32") for x in (embedding, last)])
    np.testing.assert_allclose(outputs["embedding"].numpy(), mean, atol=1e-6)
    np.testing.assert_allclose(outputs["variance"].numpy(), variance, rtol=1e-4)
    assert variance.std() > 0.01
    np.testing.assert_allclose(outputs["norm"].numpy()[:, 0], np.linalg.norm(embedding, axis=1), rtol=1e-5)
    harmonic = [len(row) / sum(1 / value for value in row) for row in variance]
    np.testing.assert_allclose(outputs["quality"].numpy(), -np.array(harmonic), rtol=1e-4)


def of_arrays(arrays, last, label, x):
    """Loss of a step and the moments of both batch norms, from arrays in double precision; `label` has ordered pairs."""
    first = last.reshape(len(last), -1) @ arrays["fc1"]
    z = np.maximum(normalised(first, first.mean(0), first.var(0)) * arrays["weight"] + arrays["bias"], 0) @ arrays["fc2"]
    variance = 1e-6 + np.exp(arrays["scale"] * normalised(z, z.mean(0), z.var(0)) + arrays["shift"])
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j and label[i] == label[j]]
    total = [variance[i] + variance[j] for i, j in pairs]
    scores = [((x[i] - x[j]) ** 2 / (1e-10 + both) + np.log(both)).sum() for (i, j), both in zip(pairs, total, strict=True)]
    return np.mean(scores), [(first.mean(0), first.var(0)), (z.mean(0), z.var(0))]


def test_three_steps_of_training_follow_the_authors(rng):
    """Gradients by differences through head and loss, momentum as in TensorFlow, running statistics with the authors' rule."""
    stub = Tiny()
    stub.map_shape, stub.training = (2, 2, 2), False
    head, loss = UncertaintyHead([4], stub, scale=0.3, shift=-2.0, momentum=0.9), MLSLoss()
    ours = {"fc1": head.fc1.weight, "weight": head.bn1.weight, "bias": head.bn1.bias, "fc2": head.fc2.weight}
    ours |= {"scale": head.scale, "shift": head.shift}
    for name in ("weight", "bias"):
        ours[name].set_value(rng.uniform(0.5, 1.5, 4).astype("float32"))
    arrays = {name: value.numpy().astype("float64") for name, value in ours.items()}
    speed = {name: np.zeros_like(value) for name, value in arrays.items()}
    running = [(np.zeros(4), np.ones(4)), (np.zeros(4), np.ones(4))]
    optimizer = Momentum(list(ours.values()), 1, 3, learning_rate=0.02, momentum=0.9, weight_decay=0.0)
    label = np.array([0, 1, 0, 2, 1, 0])
    for _ in range(3):
        embedding, last = rng.normal(size=(6, 4)), rng.normal(size=(6, 2, 2, 2))
        x = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
        want, moments = of_arrays(arrays, last, label, x)
        slopes = {
            name: differences(lambda moved, name=name, last=last, x=x: of_arrays(arrays | {name: moved}, last, label, x)[0], value)
            for name, value in arrays.items()
        }
        got = loss(head([paddle.to_tensor(value, "float32") for value in (embedding, last)]), {"label": paddle.to_tensor(label)})["mls"]
        got.backward()
        assert float(got) == pytest.approx(want, rel=1e-5)
        for name, slope in slopes.items():
            np.testing.assert_allclose(ours[name].grad.numpy(), slope, atol=2e-5 * max(1, np.abs(slope).max()), err_msg=name)
            speed[name] = 0.9 * speed[name] + slope
            arrays[name] = arrays[name] - 0.02 * speed[name]
        optimizer.step()
        optimizer.clear_grad()
        running = [tuple(0.9 * a + 0.1 * b for a, b in zip(old, new, strict=True)) for old, new in zip(running, moments, strict=True)]
        for norm, (mean, variance) in zip((head.bn1, head.bn2), running, strict=True):
            np.testing.assert_allclose(norm._mean.numpy(), mean, atol=1e-5)
            np.testing.assert_allclose(norm._variance.numpy(), variance, rtol=1e-5)
    for name, value in arrays.items():
        np.testing.assert_allclose(ours[name].numpy(), value, atol=1e-5, err_msg=name)


def test_it_starts_where_the_authors_start():
    outputs = tiny()({"image": pictures()})  # z has unit variance in training
    np.testing.assert_allclose(outputs["variance"].numpy(), math.exp(-7) + 1e-6, rtol=1e-3)


def test_only_the_head_is_trained_and_its_two_numbers_do_not_decay():
    model = tiny()
    model.train()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    optimizer = Momentum(trained, 1, 1, learning_rate=0.1, weight_decay=0.5)
    batch = {"image": pictures(), "label": paddle.to_tensor([0, 0, 1, 1])}
    MLSLoss()(model(batch), batch)["mls"].backward()
    gradient = {name: getattr(model.head, name).grad.item() for name in ("scale", "shift")}
    optimizer.step()
    after = {name: value.numpy() for name, value in model.state_dict().items()}
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("head.")} - {"head.bn2.weight", "head.bn2.bias"}
    for name, slope in gradient.items():
        assert after[f"head.{name}"][0] == pytest.approx(before[f"head.{name}"][0] - 0.1 * slope, rel=1e-6)


@pytest.mark.parametrize(
    "backbone",
    [
        "{name: AdaFace_IR_18, embedding_size: 8, input_size: [32, 32]}",
        "{name: IResNet, depth: 18, embedding_size: 8, input_size: [32, 32]}",
        "{name: InsightMobileFaceNet, embedding_size: 8, input_size: [32, 32]}",
        "{name: MobileFaceNet, embedding_size: 8, pooling: fc, input_size: [32, 32]}",
    ],
)
def test_every_backbone_gives_its_map_on_request_and_is_else_unchanged(backbone):
    model = of_config(backbone)
    model.eval()
    pixels = model.input(pictures(2, 32))
    embedding, last = model.backbone(pixels)
    assert last.shape == [2, *model.backbone.map_shape]
    model.backbone.keeps_map = False
    np.testing.assert_array_equal(model.backbone(pixels).numpy(), embedding.numpy())
    assert model.head.fc1.weight.shape == [math.prod(model.backbone.map_shape), 8]


def test_an_export_and_a_live_model_give_mean_and_variance(tmp_path):
    model = tiny(scale=0.5, momentum=0.0)
    model.train()
    with paddle.no_grad():
        model({"image": pictures(16)})
    model.eval()
    (tmp_path / "export").mkdir()
    export.write(model, tmp_path / "export", {})
    exported = predict.load_predictor(tmp_path / "export", threads=1)
    assert exported.outputs() == ["embedding", "norm", "quality", "variance"] == model.predictor().outputs()
    assert export.verify(model.predictor(), exported, 1e-3) < 1e-3


def test_a_backbone_that_is_not_frozen_is_refused_in_training():
    model = tiny(freeze="backbone.conv")
    with pytest.raises(UserError) as caught:
        model({"image": pictures()})
    told = "UncertaintyHead: expected a trained backbone that is not changed any more: set model.freeze: [backbone]"
    assert str(caught.value) == told
    model.eval()
    assert model({"image": pictures(1)})["variance"].shape == [1, 8]


@pytest.mark.parametrize("name", ["{name: MobileFaceNet, pooling: avg, input_size: [32, 32]}", "{name: FaceViT, input_size: [32, 32]}"])
def test_backbones_without_a_map_of_one_size(name):
    told = (
        "expected a backbone that gives its last feature map, of one size (AdaFace_IR_*, IResNet, InsightMobileFaceNet, or MobileFaceNet "
        "without pooling 'avg'), received "
    )
    with pytest.raises((ValueError, ConfigError)) as caught:
        of_config(name)
    assert told in str(caught.value)


def test_momentum_out_of_range():
    with pytest.raises(ValueError, match=r"UncertaintyHead: expected momentum of at least 0 and below 1, received 1.0"):
        tiny(momentum=1.0)


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
@pytest.mark.parametrize("autocast", [False, True])
def test_nothing_is_infinite_at_the_edges(autocast):
    model = tiny()
    model.eval()
    with paddle.amp.auto_cast(enable=autocast, dtype="bfloat16"):
        outputs = model.head((paddle.zeros([1, 8]), paddle.zeros([1, *model.backbone.map_shape])))
    assert all(value.dtype == paddle.float32 and np.isfinite(value.numpy()).all() for value in outputs.values())
    assert not outputs["embedding"].numpy().any()
