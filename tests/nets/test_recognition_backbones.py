"""The recognition backbones: sizes from the literature, published names and outputs against a plain forward, and the fast layers."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from ppface.core import registry
from ppface.core.config.spec import build_model, load_config
from ppface.nets import backbones
from ppface.nets.backbones import AdaFace_IR_18, AdaFace_IR_SE_50, MobileFaceNet
from ppface.nets.layers.fast import GlobalDepthwiseConv2D, PReLU, Whiten
from ppface.nets.weights import load_weights
from tests.core.files.torch_writer import Global, Tensor, write_zip

ROOT = Path(__file__).resolve().parents[2]

FAMILY = [
    "AdaFace_IR_18", "AdaFace_IR_34", "AdaFace_IR_50", "AdaFace_IR_101", "AdaFace_IR_152", "AdaFace_IR_200",
    "AdaFace_IR_SE_50", "AdaFace_IR_SE_101", "AdaFace_IR_SE_152", "AdaFace_IR_SE_200",
]  # fmt: skip


def trained(model) -> int:
    return sum(int(p.size) for p in model.parameters() if not p.stop_gradient)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (lambda: MobileFaceNet(), 1_003_136),
        (lambda: MobileFaceNet(input_size=(112, 96)), 999_552),
        (lambda: MobileFaceNet(pooling="avg"), 1_003_136 - 512 * 51),
        (lambda: MobileFaceNet(pooling="fc"), 1_003_136 - 512 * 51 + 48 * 512 * 128),
        (lambda: AdaFace_IR_18(), 24_020_000),
        (lambda: backbones.AdaFace_IR_50(), 43_590_000),
        (lambda: backbones.AdaFace_IR_101(), 65_150_000),
    ],
)
def test_parameters_agree_with_the_literature(model, count):
    assert trained(model()) == pytest.approx(count, rel=0 if count < 3_000_000 else 2e-4)


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_is_registered_with_its_units(name, monkeypatch):
    made = []

    class Recorded(nn.Layer):
        def __init__(self, channels, depth, stride, bottleneck, squeeze):
            super().__init__()
            made.append((depth, stride, bottleneck, squeeze))

    monkeypatch.setattr("ppface.nets.backbones.adaface_ir.Unit", Recorded)
    network = registry.find("backbone", name)(embedding_size=8, input_size=(16, 16))
    units = {"18": 8, "34": 16, "50": 24, "101": 49, "152": 50, "200": 66}[name.rsplit("_", 1)[1]]
    deep = name.endswith(("152", "200"))
    assert len(made) == units and [stride for _, stride, _, _ in made].count(2) == 4 and made[0][1] == 2
    assert {bottleneck for _, _, bottleneck, _ in made} == {deep} and {squeeze for *_, squeeze in made} == {"SE" in name}
    assert made[-1][0] == (2048 if deep else 512) and network.out_channels == [8] and type(network).__name__ == name


class Plain:
    """The published forward pass over a dict of published names, written as one reads the specification."""

    def __init__(self, tensors):
        self.tensors = tensors

    def bn(self, x, name):
        t = [self.tensors[f"{name}.{key}"].reshape([1, -1, 1, 1]) for key in ("_mean", "_variance", "weight", "bias")]
        return (x - t[0]) / paddle.sqrt(t[1] + 1e-5) * t[2] + t[3]

    def conv(self, x, name, stride=1):
        weight = self.tensors[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    def prelu(self, x, name):
        return paddle.where(x > 0, x, x * self.tensors[f"{name}._weight"].reshape([1, -1, 1, 1]))

    def __call__(self, x, units, depths, bottleneck):
        x = self.prelu(self.bn(self.conv(x, "input_layer.0"), "input_layer.1"), "input_layer.2")
        channels, i = 64, 0
        for count, depth in zip(units, depths, strict=True):
            for place in range(count):
                x = self.unit(x, f"body.{i}", channels, depth, 2 if place == 0 else 1, bottleneck)
                channels, i = depth, i + 1
        x = self.bn(x, "output_layer.0").flatten(1)
        x = x @ self.tensors["output_layer.3.weight"] + self.tensors["output_layer.3.bias"]
        x = (x - self.tensors["output_layer.4._mean"]) / paddle.sqrt(self.tensors["output_layer.4._variance"] + 1e-5)
        return x * self.tensors.get("output_layer.4.weight", 1.0) + self.tensors.get("output_layer.4.bias", 0.0)

    def unit(self, x, name, channels, depth, stride, bottleneck):
        if channels == depth:
            shortcut = x[:, :, ::stride, ::stride]
        else:
            shortcut = self.bn(self.conv(x, f"{name}.shortcut_layer.0", stride), f"{name}.shortcut_layer.1")
        name = f"{name}.res_layer"
        x = self.prelu(self.bn(self.conv(self.bn(x, f"{name}.0"), f"{name}.1"), f"{name}.2"), f"{name}.3")
        if bottleneck:
            x = self.prelu(self.bn(self.conv(x, f"{name}.4"), f"{name}.5"), f"{name}.6")
            x = self.bn(self.conv(x, f"{name}.7", stride), f"{name}.8")
        else:
            x = self.bn(self.conv(x, f"{name}.4", stride), f"{name}.5")
        if f"{name}.se_block.fc1.weight" in self.tensors:
            gate = F.relu(self.conv(x.mean([2, 3], keepdim=True), f"{name}.se_block.fc1"))
            x = x * F.sigmoid(self.conv(gate, f"{name}.se_block.fc2"))
        return shortcut + x


def random_state(model, rng):
    """Published name -> tensor, of a size that keeps activations near one."""
    state = {}
    for name, value in model.state_dict().items():
        shape, kind = value.shape, name.rsplit(".", 1)[1]
        if len(shape) > 1:
            fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
            array = rng.normal(size=shape) * (1 / fan) ** 0.5
        elif kind == "_variance":
            array = rng.uniform(0.5, 1.5, shape)
        elif kind == "_weight":
            array = rng.uniform(-0.2, 0.5, shape)
        else:
            array = (kind == "weight") + 0.1 * rng.normal(size=shape)
        state[name] = paddle.to_tensor(array.astype("float32"))
    return state


CASES = [
    ("AdaFace_IR_18", [2, 2, 2, 2], (64, 128, 256, 512), True),
    ("AdaFace_IR_18", [2, 2, 2, 2], (64, 128, 256, 512), False),
    ("AdaFace_IR_SE_50", [3, 4, 14, 3], (64, 128, 256, 512), False),
]


@pytest.mark.parametrize(("name", "units", "depths", "frozen"), CASES)
def test_published_state_dicts_load_by_name_and_give_their_outputs(name, units, depths, frozen, rng, tmp_path):
    model = registry.find("backbone", name)(embedding_size=16, input_size=(32, 32))
    state = random_state(model, rng)
    optional = ("output_layer.4.weight", "output_layer.4.bias")
    if not frozen:
        del state[optional[0]], state[optional[1]]
    image = paddle.to_tensor(rng.normal(size=(2, 3, 32, 32)).astype("float32"))
    want = Plain(state)(image, units, depths, bottleneck=False).numpy()
    paddle.save(state, str(tmp_path / "w.pdparams"))
    report = load_weights(model, tmp_path / "w.pdparams")
    assert len(report.matched) == len(state) and not report.unexpected and report.missing == (() if frozen else optional)
    model.eval()
    with paddle.no_grad():
        got = model(image).numpy()
    assert got.shape == (2, 16) and np.abs(want).max() > 0.1
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_bottlenecks_are_the_published_ones(rng, monkeypatch):
    from ppface.nets.backbones.adaface_ir import AdaFaceIR

    depths = (256, 512, 1024, 2048)
    model = AdaFaceIR([1, 2, 1, 1], depths, True, 16, (16, 16))
    state = random_state(model, rng)
    for name, value in model.state_dict().items():
        value.set_value(state[name])
    model.eval()
    image = paddle.to_tensor(rng.normal(size=(1, 3, 16, 16)).astype("float32"))
    np.testing.assert_allclose(model(image).numpy(), Plain(state)(image, [1, 2, 1, 1], depths, True).numpy(), atol=1e-5)


def test_a_file_of_the_backbone_alone_loads_into_a_backbone_in_a_model(rng, tmp_path):
    whole = nn.Layer()
    whole.backbone = AdaFace_IR_18(embedding_size=4, input_size=(16, 16))
    paddle.save(random_state(whole.backbone, rng), str(tmp_path / "w.pdparams"))
    assert not load_weights(whole, tmp_path / "w.pdparams").missing


def published(state):
    """As a checkpoint of mk-minchul/AdaFace: PyTorch's names and layouts, the network under `model.`, beside the head."""
    theirs = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}
    arrays = {"head.kernel": np.ones((4, 9)), "head.t": np.zeros(1), "head.batch_mean": np.full(1, 21.0), "head.batch_std": np.full(1, 3.0)}
    for name, value in state.items():
        layer, last = name.rsplit(".", 1)
        array = value.numpy().T if name == "output_layer.3.weight" else value.numpy()
        arrays[f"model.{layer}.{theirs.get(last, last)}"] = array
        if last == "_mean":
            arrays[f"model.{layer}.num_batches_tracked"] = np.array(5)
    return OrderedDict((name, Tensor(np.ascontiguousarray(array))) for name, array in arrays.items())


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_checkpoints_of_adafaces_authors_load_and_expect_bgr(order, rng, tmp_path, caplog):
    small = ["model.backbone={name: AdaFace_IR_18, embedding_size: 4, input_size: [16, 16]}", "model.head.embedding_size=4"]
    config = load_config(
        ROOT / "configs/recognition/adaface_ir18_ms1mv3.yml", [*small, "model.input.size=[16, 16]", f"model.input.order={order}"]
    )
    state = random_state(AdaFace_IR_18(embedding_size=4, input_size=(16, 16)), rng)
    del state["output_layer.4.weight"], state["output_layer.4.bias"]
    callbacks = {Global("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"): {"best_model_score": Tensor(np.array(0.9))}}
    content = {"epoch": 25, "state_dict": published(state), "callbacks": callbacks, "optimizer_states": [{"state": {}, "param_groups": []}]}
    path, model = write_zip(tmp_path / "adaface_ir18.ckpt", content), build_model(config)
    report = load_weights(model, path, names=ROOT / "configs/weights/adaface_official.yaml")
    assert report.missing == ("backbone.output_layer.4.weight", "backbone.output_layer.4.bias")
    assert report.unexpected == ("head.kernel",) and model.head.batch_mean.item() == 21
    image = rng.integers(0, 256, (2, 3, 16, 16)).astype("uint8")
    bgr = (image[:, ::-1].astype("float32") / 255 - 0.5) / 0.5
    want = Plain(state)(paddle.to_tensor(bgr), [2, 2, 2, 2], (64, 128, 256, 512), bottleneck=False).numpy()
    got = model.predictor()({"image": image})["embedding"]
    assert np.allclose(got, want, rtol=1e-5, atol=1e-5) == (order == "BGR")
    warning = f"{path}: this network expects BGR, the model has input.order: RGB: set model.input.order=BGR"
    assert caplog.messages == ([] if order == "BGR" else [warning])


def gradients(function, *leaves):
    for leaf in leaves:
        leaf.stop_gradient = False
        leaf.clear_grad()
    out = function(*leaves)
    (out * paddle.sin(paddle.arange(out.size, dtype="float32").reshape(out.shape))).sum().backward()
    return [out.numpy(), *(leaf.grad.numpy().copy() for leaf in leaves)]


def test_fast_prelu_is_paddles(rng):
    layer = PReLU(5)
    layer._weight.set_value(paddle.to_tensor([-0.5, 0.0, 0.25, 1.0, 2.0]))
    x = paddle.to_tensor(rng.normal(size=(3, 5, 4, 6)).astype("float32"))
    x[0, 0, 0, 0] = 0.0
    plain = gradients(lambda x, _: F.prelu(x, layer._weight), x, layer._weight)
    for ours, theirs in zip(gradients(lambda x, _: layer(x), x, layer._weight), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert list(layer.state_dict()) == ["_weight"]


def test_fast_global_depthwise_convolution_is_paddles(rng):
    layer = GlobalDepthwiseConv2D(6, (7, 5))
    x = paddle.to_tensor(rng.normal(size=(3, 6, 7, 5)).astype("float32"))
    plain = gradients(lambda x, w: F.conv2d(x, w, groups=6), x, layer.weight)
    for ours, theirs in zip(gradients(lambda x, _: layer(x), x, layer.weight), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert list(layer.state_dict()) == ["weight"] and layer.weight.shape == [6, 1, 7, 5]
    with pytest.raises(ValueError) as error:
        layer(paddle.ones([2, 6, 8, 5]))
    assert str(error.value) == "GlobalDepthwiseConv2D: expected a map of [7, 5], received [8, 5]"


def test_whiten_is_a_batch_norm_of_frozen_weights(rng):
    ours, theirs = Whiten(4), nn.BatchNorm1D(4)
    assert ours.state_dict().keys() == theirs.state_dict().keys() and not ours.parameters()
    state = {"weight": paddle.to_tensor([2.0, 1.0, 0.5, -1.0]), "bias": paddle.to_tensor([0.0, 3.0, -1.0, 0.5])}
    for layer in (ours, theirs):
        layer.weight.set_value(state["weight"]), layer.bias.set_value(state["bias"])
    x = paddle.to_tensor(rng.normal(size=(8, 4)).astype("float32"))
    for _ in range(3):
        np.testing.assert_allclose(ours(x).numpy(), theirs(x).numpy(), atol=1e-6)
    ours.eval(), theirs.eval()
    np.testing.assert_allclose(ours(x).numpy(), theirs(x).numpy(), atol=1e-6)
    np.testing.assert_array_equal(ours.weight.numpy(), state["weight"].numpy())


@pytest.mark.parametrize("pooling", ["gdc", "avg", "fc"])
def test_mobilefacenet_trains_with_each_pooling(pooling, rng):
    model = MobileFaceNet(embedding_size=8, pooling=pooling, input_size=(32, 48))
    out = model(paddle.to_tensor(rng.normal(size=(4, 3, 32, 48)).astype("float32")))
    assert out.shape == [4, 8]
    (out**2 * paddle.arange(8, dtype="float32")).sum().backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in model.parameters() if not p.stop_gradient)
    assert model.any_size == (pooling == "avg")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MobileFaceNet(0), "MobileFaceNet: expected embedding_size of at least 1, received 0"),
        (lambda: MobileFaceNet(input_size=(112, 100)), "MobileFaceNet: expected input_size in multiples of 16, received [112, 100]"),
        (lambda: AdaFace_IR_18(0), "AdaFace_IR_18: expected embedding_size of at least 1, received 0"),
        (lambda: AdaFace_IR_SE_50(input_size=(0, 16)), "AdaFace_IR_SE_50: expected input_size in multiples of 16, received [0, 16]"),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("backbone", "parameters", "macs"),
    [("MobileFaceNet", 1_003_136, 2.2e8), ("AdaFace_IR_18", 24_020_000, 2.62e9), ("AdaFace_IR_50", 43_590_000, 6.31e9)],
)
def test_the_tool_tells_the_size_of_a_model(backbone, parameters, macs, run_tool, tmp_path):
    size = 128 if backbone == "MobileFaceNet" else 512
    (tmp_path / "m.yml").write_text(
        f"model:\n  input: {{size: [112, 112], mean: [0, 0, 0], std: [1, 1, 1]}}\n  backbone: {{name: {backbone}}}\n"
        f"  head: {{name: CosMargin, embedding_size: {size}, class_num: 10}}\n"
    )
    done = run_tool("tools/model_info.py", "-c", tmp_path / "m.yml", "--json")
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)["parts"]
    assert parts["backbone"]["parameters"] == pytest.approx(parameters, rel=2e-4)
    assert parts["backbone"]["macs"] == pytest.approx(macs, rel=0.03)
    assert parts["head"] == {"parameters": size * 10, "macs": 0}
    assert parts["total"]["parameters"] == parts["backbone"]["parameters"] + size * 10
    if backbone == "MobileFaceNet":  # the others take seconds to build
        table = run_tool("tools/model_info.py", "-c", tmp_path / "m.yml").stdout.splitlines()
        assert table[0].split() == ["112x112", "parameters", "MACs", "(M)"] and table[-1].startswith("total")
