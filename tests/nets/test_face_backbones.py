"""The recognition networks of other projects: sizes from the literature, their layers against NumPy, names, and refused arguments."""

import re

import numpy as np
import paddle
import pytest
from paddle import nn

from ppface.core.errors import DataError
from ppface.nets import backbones
from ppface.nets.backbones import (
    FaceNetMobileNet,
    FaceViT,
    InceptionResNetV1,
    InsightMobileFaceNet,
    IResNet,
    MobileFaceNet,
    SlimFaceNet,
    VarGFaceNet,
    face_vit,
    inception_resnet_v1,
    iresnet,
    slim_face_net,
    varg_face_net,
)
from ppface.nets.layers import ConvBN
from ppface.nets.layers.fast import PReLU
from ppface.nets.layers.norm_act import NormActSequential
from ppface.nets.size import parameters, sizes


class Whole(nn.Layer):
    """A backbone alone, as `sizes` calls it."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, batch):
        return self.backbone(batch["image"].astype("float32"))


@pytest.fixture(autouse=True)
def quickly_drawn(monkeypatch):
    """Values of the size that the networks start with, from one vector of 4,099: drawing 24 million numbers takes seconds."""
    some = np.random.default_rng(0).normal(size=4099).astype("float32")

    def start(self, var, block=None):
        fan = int(np.prod(var.shape[1:])) if len(var.shape) > 2 else var.shape[0]
        var.set_value(np.resize(some / max(1, fan) ** 0.5, var.shape))

    for kind in ("KaimingNormal", "XavierUniform", "Normal", "TruncatedNormal"):
        monkeypatch.setattr(getattr(nn.initializer, kind), "__call__", start)


@pytest.mark.parametrize(
    ("backbone", "size", "count", "macs"),
    [
        (lambda: IResNet(18), (112, 112), 24_025_600, 2.61e9),
        (lambda: InsightMobileFaceNet(), (112, 112), 2_059_520, 437e6),
        (lambda: InsightMobileFaceNet("mbf_large"), (112, 112), 6_314_880, 1.82e9),
        (lambda: InceptionResNetV1(), (160, 160), 23_482_624, 1.418e9),
        (lambda: InceptionResNetV1(128), (160, 160), 22_793_728, 1.417e9),
        (lambda: FaceNetMobileNet(), (160, 160), 3_338_304, 290e6),
        (lambda: VarGFaceNet(), (112, 112), 5_198_292, 513e6),
        (lambda: VarGFaceNet("listing"), (112, 96), 2_075_061, 183e6),
        (lambda: SlimFaceNet("A"), (112, 96), 589_092, 107e6),
        (lambda: SlimFaceNet("B"), (112, 96), 967_072, 127e6),
        (lambda: SlimFaceNet("C"), (112, 96), 888_160, 132e6),
    ],
)
def test_sizes_are_the_published_ones(backbone, size, count, macs):
    found = sizes(Whole(backbone()), size)["total"]
    assert found["parameters"] == count
    assert found["macs"] == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize(("width", "macs", "norms"), [(112, 220_965_376, 3_205_632), (96, 189_408_256, 2_747_776)])
def test_the_multiply_adds_of_mobilefacenet_by_hand(width, macs, norms):
    """The paper's table 1 layer by layer. Published as 221 M, https://arxiv.org/abs/1908.09124; with the outputs of batch norm it is 224 M."""
    side, channels = 56 * width // 2, 64
    layers = [(side, 64, 3 * 9), (side, 64, 9)]  # positions, channels out, multiply-adds of each output
    for expansion, out, repeats, stride in ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)):
        for i in range(repeats):
            wide, layers = expansion * channels, [*layers, (side, expansion * channels, channels)]
            side //= stride**2 if i == 0 else 1
            layers += [(side, wide, 9), (side, out, wide)]
            channels = out
    layers += [(side, 512, 128), (1, 512, side), (1, 128, 512)]
    assert sum(positions * out * each for positions, out, each in layers) == macs
    assert sum(positions * out for positions, out, _ in layers) == norms
    assert sizes(Whole(MobileFaceNet(input_size=(112, width))), (112, width))["total"]["macs"] == macs


def test_sizes_of_the_deeper_iresnets(monkeypatch):
    """Counted from the units, each of which is made once, as the networks themselves are large."""
    kinds: dict[tuple, int] = {}

    class Counted(nn.Layer):
        def __init__(self, channels, out, stride, norm):
            super().__init__()
            kind = (channels, out, stride)
            if kind not in kinds:
                kinds[kind] = parameters(unit(*kind, norm))
            self.count = kinds[kind]

    unit = iresnet.Unit
    monkeypatch.setattr(iresnet, "Unit", Counted)
    for depth, count in ((34, 34_139_328), (50, 43_590_848), (100, 65_156_160), (200, 118_833_920)):
        network = IResNet(depth)
        units = [layer for layer in network.sublayers() if isinstance(layer, Counted)]
        assert parameters(network) + sum(layer.count for layer in units) == count
        assert len(units) == {34: 16, 50: 24, 100: 49, 200: 98}[depth]


@pytest.mark.parametrize(("variant", "width", "depth"), [("tiny", 256, 12), ("small", 512, 12), ("base", 512, 24), ("large", 768, 24)])
def test_the_vits_have_their_width_and_depth(variant, width, depth, monkeypatch):
    made = []
    monkeypatch.setattr(face_vit, "Block", lambda *arguments: made.append(arguments) or nn.Identity())
    network = FaceViT(variant, embedding_size=4, drop_path=0.1, input_size=(19, 28))
    assert len(made) == depth and {one for one, _ in made} == {width}
    assert made[0][1] == 0 and made[-1][1] == pytest.approx(0.1) and network.pos_embed.shape == [1, 6, width]


def test_every_adaface_network_exists():
    expected = {f"AdaFace_IR_{depth}" for depth in (18, 34, 50, 101, 152, 200)} | {
        f"AdaFace_IR_SE_{depth}" for depth in (50, 101, 152, 200)
    }
    assert {name for name in backbones.__all__ if name.startswith("AdaFace")} == expected


# each part against NumPy


def drawn(layer, rng):
    """The layer in evaluation mode, all of its values drawn at random."""
    for name, value in layer.state_dict().items():
        low = 0.5 if name.endswith("_variance") else -0.5
        value.set_value(rng.uniform(low, low + 1, value.shape).astype("float32"))
    layer.eval()
    return layer


def value(layer, name):
    return layer.state_dict()[name].numpy().astype("float64")


def given(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def test_attention_and_the_rest_of_a_vits_block(rng):
    block, x = drawn(face_vit.Block(16, 0.0), rng), given(rng, 2, 5, 16)

    def norm(y, name):
        mean, variance = y.mean(-1, keepdims=True), y.var(-1, keepdims=True)
        return (y - mean) / np.sqrt(variance + 1e-5) * value(block, f"{name}.weight") + value(block, f"{name}.bias")

    want = x.astype("float64")
    y, attended = norm(want, "norm1") @ value(block, "attn.qkv.weight"), np.zeros((2, 5, 16))
    for picture in range(2):
        for head in range(8):
            q, k, v = (y[picture, :, 16 * part + 2 * head : 16 * part + 2 * head + 2] for part in range(3))
            weights = np.exp(q @ k.T / np.sqrt(2))
            attended[picture, :, 2 * head : 2 * head + 2] = weights / weights.sum(1, keepdims=True) @ v
    want = want + attended @ value(block, "attn.proj.weight") + value(block, "attn.proj.bias")
    y = np.clip(norm(want, "norm2") @ value(block, "mlp.fc1.weight") + value(block, "mlp.fc1.bias"), 0, 6)
    want = want + y @ value(block, "mlp.fc2.weight") + value(block, "mlp.fc2.bias")
    np.testing.assert_allclose(block(paddle.to_tensor(x)).numpy(), want, atol=1e-4)


def test_skipped_branches_keep_their_mean():
    paddle.seed(3)
    block = face_vit.Block(8, 0.25)
    branch = block._some(paddle.ones([4000, 2, 1])).numpy()
    assert set(np.round(np.unique(branch), 5)) == {0, np.float32(1.33333)} and (branch[:, 0] == branch[:, 1]).all()
    assert branch.mean() == pytest.approx(1, abs=0.04)
    block.eval()
    assert (block._some(paddle.ones([9, 2, 1])).numpy() == 1).all()


def test_masked_tokens_keep_their_places(rng, monkeypatch):
    """Without blocks, a token that is kept is itself behind them, and the others are the learned one."""
    monkeypatch.setattr(face_vit, "Block", lambda *_: nn.Identity())
    network = FaceViT("tiny", 4, mask_ratio=0.5, input_size=(27, 27))
    network.norm, seen = nn.Identity(), []
    network.feature = nn.Sequential()
    monkeypatch.setattr(network.feature, "forward", lambda x: seen.append(x.numpy()) or x)
    network.mask_token.set_value(np.full([1, 1, 256], 7, "float32"))
    image = paddle.to_tensor(given(rng, 3, 3, 27, 27))
    network.train()
    network(image)
    network.eval()
    network(image)
    masked, whole = (tokens.reshape(3, 9, 256) for tokens in seen)
    learned = (masked == 7).all(axis=2)
    assert (learned.sum(axis=1) == 5).all() and len(np.unique(learned, axis=0)) > 1
    np.testing.assert_array_equal(masked[~learned], whole[~learned])


def gate(kind, x, one, two):
    """The means of x, through two linear layers given as (weight [in, out], bias)."""
    squeezed = x.mean((2, 3)) @ one[0] + one[1]
    squeezed = np.clip(squeezed, 0, 6) if isinstance(kind, str) else np.where(squeezed > 0, squeezed, squeezed * kind)
    return squeezed @ two[0] + two[1]


@pytest.mark.parametrize("variant", ["paper", "listing"])
def test_squeeze_and_excitation_of_vargfacenet(variant, rng):
    layer, x = drawn(varg_face_net.SqueezeExcite(8, variant), rng), given(rng, 2, 8, 3, 3)
    one, two = ((value(layer, f"fc{i}.weight"), value(layer, f"fc{i}.bias")) for i in (1, 2))
    z = gate("listing" if variant == "listing" else value(layer, "act._weight"), x, one, two)
    z = np.clip(z, 0, 6) if variant == "listing" else 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), x * z[:, :, None, None], atol=1e-5)


def test_squeeze_and_excitation_of_slimfacenet(rng):
    layer, x = drawn(slim_face_net.SqueezeExcite(8), rng), 3 * given(rng, 2, 8, 3, 3)
    one, two = ((value(layer, f"fc{i}.weight")[:, :, 0, 0].T * 20, value(layer, f"fc{i}.bias")) for i in (1, 2))
    for fc in (layer.fc1, layer.fc2):
        fc.weight.set_value(20 * fc.weight)
    z = np.clip(0.2 * gate(value(layer, "act._weight"), x, one, two) + 0.5, 0, 1)
    assert {0, 1} <= set(z.ravel())
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), x * z[:, :, None, None], atol=1e-5)


def test_where_the_activations_of_the_two_vargfacenets_are(rng):
    x = paddle.to_tensor(given(rng, 1, 8, 4, 4))
    for variant in ("paper", "listing"):
        unit = drawn(varg_face_net.MergeUnit(8, 16, variant), rng)
        one, two = unit.branch1(x).numpy(), unit.branch2(x).numpy()
        slopes = unit.merged._weight.numpy().reshape(1, -1, 1, 1) if variant == "paper" else 1
        merged = np.where(one + two > 0, one + two, (one + two) * slopes).astype("float32")
        y = (unit.second(paddle.to_tensor(merged)) + unit.shortcut(x)).numpy()
        last = unit.act._weight.numpy().reshape(1, -1, 1, 1)
        assert last.size == (16 if variant == "paper" else 1)
        np.testing.assert_allclose(unit(x).numpy(), np.where(y > 0, y, y * last), atol=1e-5)
        assert len(unit.branch1[1]) == (2 if variant == "paper" else 3)


def test_residual_and_reduction_of_inception(rng):
    conv = inception_resnet_v1.Conv
    unit = drawn(inception_resnet_v1.Residual(4, [[conv(4, 2, 1)], [conv(4, 3, 1), conv(3, 3, (1, 3)), conv(3, 3, (3, 1))]], 0.17), rng)
    x = paddle.to_tensor(given(rng, 2, 4, 5, 7))
    parts = np.concatenate([unit.branch0(x).numpy(), unit.branch1(x).numpy()], axis=1)
    weight, bias = value(unit, "conv2d.weight")[:, :, 0, 0], value(unit, "conv2d.bias")
    y = x.numpy() + 0.17 * (np.einsum("oc,nchw->nohw", weight, parts) + bias[:, None, None])
    np.testing.assert_allclose(unit(x).numpy(), np.maximum(y, 0), atol=1e-5)
    reduced = drawn(inception_resnet_v1.Reduction([[conv(4, 2, 3, 2, False)]]), rng)(x).numpy()
    pooled = np.array([[x.numpy()[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((2, 3)) for j in range(3)] for i in range(2)])
    assert reduced.shape == (2, 6, 2, 3)
    np.testing.assert_array_equal(reduced[:, 2:], pooled.transpose(2, 3, 0, 1))


def test_one_slope_for_all_channels(rng):
    layer, x = PReLU(1), given(rng, 2, 3, 4, 4)
    layer._weight.set_value(np.float32([-0.5]))
    x = paddle.to_tensor(x, stop_gradient=False)
    np.testing.assert_allclose(layer(x).numpy(), np.where(x.numpy() > 0, x.numpy(), -0.5 * x.numpy()), atol=1e-6)
    layer(x).sum().backward()
    assert layer._weight.grad.item() == pytest.approx(np.minimum(x.numpy(), 0).sum(), rel=1e-5)
    norm, trained = nn.BatchNorm2D(3), nn.BatchNorm2D(3)
    want = layer(norm(x)).numpy()
    np.testing.assert_allclose(NormActSequential(trained, layer)(x).numpy(), want, atol=1e-6)


def test_relu6_ends_at_six():
    layer = ConvBN(1, 1, 1, act="relu6")
    layer.conv.weight.set_value(np.ones([1, 1, 1, 1], "float32"))
    layer.eval()
    x = paddle.to_tensor(np.float32([-1, 2, 9]).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(layer(x).numpy().ravel(), [0, 2, 6], atol=1e-4)


# training, mistakes

SMALL = {
    "IResNet": lambda: IResNet(18, 4, dropout=0.4, input_size=(16, 32)),
    "magface": lambda: IResNet(18, 4, variant="magface", input_size=(16, 32)),
    "mbf": lambda: InsightMobileFaceNet("mbf", 4, (16, 32)),
    "vit": lambda: FaceViT("tiny", 4, mask_ratio=0.3, input_size=(16, 32)),
    "slim": lambda: SlimFaceNet("A", None, 4, (16, 32)),
    "varg": lambda: VarGFaceNet("paper", 4, (16, 32)),
    "listing": lambda: VarGFaceNet("listing", 4, (16, 32)),
    "facenet": lambda: FaceNetMobileNet(4),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name, rng):
    paddle.seed(0)
    network = SMALL[name]()
    out = network(paddle.to_tensor(given(rng, 4, 3, 16, 32)))
    assert out.shape == [4, 4]
    (out**3).sum().backward()
    frozen = {key for key, parameter in network.named_parameters() if parameter.stop_gradient and not key.endswith(("_mean", "_variance"))}
    assert frozen == ({"features.weight"} if isinstance(network, IResNet) else set())
    for key, parameter in network.named_parameters():
        assert parameter.stop_gradient or (parameter.grad is not None and np.isfinite(parameter.grad.numpy()).all()), key


def test_the_last_batch_norm_trains_its_bias_alone(rng):
    ours, theirs = iresnet.FixedScale(4, weight_attr=paddle.ParamAttr(trainable=False)), nn.BatchNorm1D(4)
    gradients = []
    for layer in (ours, theirs):
        layer.bias.set_value(np.float32([0.5, -1, 2, 0]))
        x = paddle.to_tensor(np.random.default_rng(5).normal(size=(6, 4)).astype("float32"), stop_gradient=False)
        out = layer(x)
        (out**3).sum().backward()
        gradients.append([out.numpy(), x.grad.numpy(), layer.bias.grad.numpy(), layer._mean.numpy(), layer._variance.numpy()])
    for mine, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    assert ours.weight.grad is None


def test_magface_normalises_as_published():
    for variant, momentum, epsilon, dropout in (("insightface", 0.9, 1e-5, nn.Dropout), ("magface", 0.1, 2e-5, nn.Dropout2D)):
        network = IResNet(18, 4, variant=variant, input_size=(16, 16))
        norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D | nn.BatchNorm1D)]
        assert {(norm._momentum, norm._epsilon) for norm in norms} == {(momentum, epsilon)} and type(network.dropout) is dropout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IResNet(18, 0), "IResNet: expected embedding_size of at least 1, received 0"),
        (lambda: IResNet(18, dropout=1.0), "IResNet: expected dropout of at least 0 and below 1, received 1.0"),
        (lambda: IResNet(18, input_size=(113, 112)), "IResNet: expected input_size in multiples of 16, received [113, 112]"),
        (
            lambda: InsightMobileFaceNet(input_size=(8, 16)),
            "InsightMobileFaceNet: expected input_size in multiples of 16, received [8, 16]",
        ),
        (lambda: SlimFaceNet(input_size=(112, 97)), "SlimFaceNet: expected input_size in multiples of 16, received [112, 97]"),
        (lambda: SlimFaceNet(width=0.5), "SlimFaceNet: expected a width of 1.0, 0.9, 0.75, 0.6, received 0.5"),
        (lambda: VarGFaceNet("listing", input_size=(111, 96)), "VarGFaceNet: expected input_size in multiples of 16, received [111, 96]"),
        (lambda: FaceViT(input_size=(8, 112)), "FaceViT: expected an input_size of at least 9, received [8, 112]"),
        (lambda: FaceViT(mask_ratio=1.0), "FaceViT: expected mask_ratio of at least 0 and below 1, received 1.0"),
        (
            lambda: FaceViT(mask_ratio=0.9, input_size=(9, 18)),
            "FaceViT: expected a mask_ratio that leaves a token of 2, received 0.9",
        ),
        (lambda: FaceViT(embedding_size=0), "FaceViT: expected embedding_size of at least 1, received 0"),
        (lambda: FaceNetMobileNet(0), "FaceNetMobileNet: expected embedding_size of at least 1, received 0"),
        (lambda: FaceNetMobileNet(dropout=-0.1), "FaceNetMobileNet: expected dropout of at least 0 and below 1, received -0.1"),
        (lambda: InceptionResNetV1(0), "InceptionResNetV1: expected embedding_size of at least 1, received 0"),
        (lambda: InceptionResNetV1(dropout=2), "InceptionResNetV1: expected dropout of at least 0 and below 1, received 2"),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_pictures_that_do_not_fit_are_named():
    advice = "give the data set this size, or align or resize the pictures"
    for name, who in (("mbf", "InsightMobileFaceNet"), ("slim", "SlimFaceNet"), ("listing", "VarGFaceNet"), ("vit", "FaceViT")):
        with pytest.raises(DataError) as error:
            SMALL[name]()(paddle.zeros([1, 3, 17, 33]))
        assert str(error.value) == f"{who}: expected pictures of [height, width] = [16, 32], its input_size, received [17, 33]: {advice}"
    network = InceptionResNetV1(4)
    network.eval()
    with pytest.raises(DataError, match=r"^InceptionResNetV1: expected pictures of at least 75x75, received \[74, 160\]: enlarge them$"):
        network(paddle.zeros([1, 3, 74, 160]))
    assert network(paddle.zeros([1, 3, 75, 76])).shape == [1, 4]
