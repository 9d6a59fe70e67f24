"""RetinaFace under the names of Pytorch_Retinaface: the same tensors give the same outputs as a plain forward written from those names."""

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppface.nets.backbones import MobileNetV1, ResNet
from ppface.nets.heads import FaceHead
from ppface.nets.model import FaceModel, Input
from ppface.nets.necks import FPN
from ppface.nets.weights import load_weights
from tests.nets.torch_tensors import TorchTensors

NAMES = Path(__file__).parents[2] / "configs" / "weights" / "retinaface_pytorch.yaml"
MIN_SIZES = [[16, 32], [64, 128], [256, 512]]


def build(backbone, channels=64, act="leaky_0.1", **neck):
    levels = len(backbone.out_channels) + neck.get("extra_levels", 0)
    head = partial(
        FaceHead,
        min_sizes=[[16 * 4**i, 32 * 4**i] for i in range(levels)],
        steps=[backbone.strides[0] * 2**i for i in range(levels)],
        landmarks=5,
        kernel_size=1,
        background_first=True,
    )
    size = Input((640, 640), [123, 117, 104], [1, 1, 1], order="BGR")
    return FaceModel(size, backbone, head, partial(FPN, channels=channels, act=act, **neck))


def mobile():
    return build(MobileNetV1(0.25, "leaky_0.1"))


class Published(TorchTensors):
    """RetinaFace, written from its names alone."""

    def __init__(self, rng, slope):
        super().__init__(rng)
        self.slope = slope

    def conv(self, *arguments, slope=None, **options):
        return super().conv(*arguments, slope=self.slope if slope is None else slope, **options)

    def block(self, x, name, out, kernel, stride=1, slope=None):
        return self.conv(x, f"{name}.0", f"{name}.1", out, kernel, stride, slope=slope)

    def mobilenet(self, x):
        x, features = self.block(x, "body.stage1.0", 8, 3, 2), []
        stages = [[16, 32, 32, 64, 64], [128] * 6, [256] * 2]
        for stage, (widths, twice) in enumerate(zip(stages, [(1, 3), (0,), (0,)], strict=True), 1):
            for i, out in enumerate(widths):
                name, stride = f"body.stage{stage}.{i + (stage == 1)}", 2 if i in twice else 1
                x = self.conv(x, f"{name}.0", f"{name}.1", x.shape[1], 3, stride, x.shape[1])
                x = self.conv(x, f"{name}.3", f"{name}.4", out, 1)
            features.append(x)
        return features

    def resnet(self, x, units):
        x = F.max_pool2d(self.conv(x, "body.conv1", "body.bn1", 64, 7, 2, slope=0), 3, 2, 1)
        features = []
        for stage, count in enumerate(units, 1):
            middle = 32 * 2**stage
            for i in range(count):
                name, stride, shortcut = f"body.layer{stage}.{i}", 2 if i == 0 and stage > 1 else 1, x
                if i == 0:
                    shortcut = self.conv(x, f"{name}.downsample.0", f"{name}.downsample.1", 4 * middle, 1, stride, slope=1)
                x = self.conv(x, f"{name}.conv1", f"{name}.bn1", middle, 1, slope=0)
                x = self.conv(x, f"{name}.conv2", f"{name}.bn2", middle, 3, stride, slope=0)
                x = F.relu(shortcut + self.conv(x, f"{name}.conv3", f"{name}.bn3", 4 * middle, 1, slope=1))
            features.append(x)
        return features[1:]

    def pyramid(self, features, channels):
        one, two, three = (self.block(x, f"fpn.output{i}", channels, 1) for i, x in enumerate(features, 1))
        two = self.block(two + F.interpolate(three, two.shape[2:], mode="nearest"), "fpn.merge2", channels, 3)
        one = self.block(one + F.interpolate(two, one.shape[2:], mode="nearest"), "fpn.merge1", channels, 3)
        return one, two, three

    def context(self, x, name, channels):
        a = self.block(x, f"{name}.conv3X3", channels // 2, 3, slope=1)
        shared = self.block(x, f"{name}.conv5X5_1", channels // 4, 3)
        b = self.block(shared, f"{name}.conv5X5_2", channels // 4, 3, slope=1)
        c = self.block(self.block(shared, f"{name}.conv7X7_2", channels // 4, 3), f"{name}.conv7x7_3", channels // 4, 3, slope=1)
        return F.relu(paddle.concat([a, b, c], axis=1))

    def forward(self, image, body, channels):
        bgr = paddle.to_tensor(image[:, ::-1].astype("float32").copy()) - paddle.to_tensor([104.0, 117, 123]).reshape([1, 3, 1, 1])
        features = [self.context(x, f"ssh{i}", channels) for i, x in enumerate(self.pyramid(body(bgr), channels), 1)]
        outputs = {}
        for head, key, width in (("BboxHead", "boxes", 4), ("ClassHead", "logits", 2), ("LandmarkHead", "landmarks", 10)):
            rows = []
            for i, x in enumerate(features):
                y = F.conv2d(x, self.get(f"{head}.{i}.conv1x1.weight", (2 * width, channels, 1, 1), -0.05, 0.05))
                y = y + self.get(f"{head}.{i}.conv1x1.bias", 2 * width, -0.1, 0.1).reshape([1, -1, 1, 1])
                rows.append(y.transpose([0, 2, 3, 1]).reshape([len(image), -1, width]))
            outputs[key] = paddle.concat(rows, axis=1).numpy()
        outputs["logits"] = outputs["logits"][..., ::-1]  # published: background, face
        outputs["landmarks"] = outputs["landmarks"].reshape(len(image), -1, 5, 2)
        return outputs


@pytest.mark.parametrize(("make", "body", "channels", "slope"), [(mobile, "mobilenet", 64, 0.1), (None, "resnet", 256, 0.0)])
@paddle.no_grad()
def test_published_tensors_give_the_published_outputs(rng, tmp_path, make, body, channels, slope):
    published = Published(rng, slope)
    image = rng.integers(0, 256, (2, 3, 163, 217), dtype=np.uint8)
    forward = published.mobilenet if body == "mobilenet" else partial(published.resnet, units=(3, 4, 6, 3))
    want = published.forward(image, forward, channels)
    prefix = "" if body == "mobilenet" else "module."  # as in the published ResNet-50 file
    paddle.save({prefix + name: paddle.to_tensor(value) for name, value in published.tensors.items()}, str(tmp_path / "w.pdparams"))
    rules = tmp_path / "names.yaml"
    rules.write_text("layout: torch\n" + NAMES.read_text())

    model = make() if make else build(ResNet(50), 256, "relu")
    report = load_weights(model, tmp_path / "w.pdparams", names=rules)
    assert len(report.matched) == len(published.tensors) and not (report.missing or report.unexpected or report.mismatched)
    model.eval()
    outputs = model({"image": paddle.to_tensor(image)})
    for key, value in want.items():
        assert abs(value).max() > 0.1
        np.testing.assert_allclose(outputs[key].numpy(), value, rtol=0, atol=2e-5 * max(1, abs(value).max()))


@pytest.mark.parametrize(
    ("body", "neck", "told"),
    [
        ("leaky_0.1", "leaky_0.1", []),
        ("leaky_0.1", "relu", [("leaky_0.1", "neck.lateral.0", "relu")]),
        ("relu", "leaky", [("leaky_0.1", "backbone.stage1.0", "relu"), ("leaky_0.1", "neck.lateral.0", "leaky")]),
    ],
)
def test_another_activation_than_that_of_the_published_network_is_reported(tmp_path, caplog, body, neck, told):
    """Weight files do not hold it: the network would run, and find less."""
    model = build(MobileNetV1(0.25, body), act=neck)
    back = [(r"^backbone\.", "body.")]
    arrays = {re.sub(*back[0], name): value for name, value in model.state_dict().items()}
    paddle.save(arrays, str(tmp_path / "w.pdparams"))
    caplog.clear()
    load_weights(model, tmp_path / "w.pdparams", names=NAMES)
    assert [message for message in caplog.messages if "activation" in message] == [
        f"{tmp_path / 'w.pdparams'}: this network expects the activation {expected} in {layer}, the model has {received}: "
        f"set model.{layer.partition('.')[0]}.act={expected}"
        for expected, layer, received in told
    ]


@pytest.mark.parametrize(
    ("make", "tensors", "floats"),
    [
        (mobile, 253, 426_608),
        (lambda: build(ResNet(50), 256, "relu"), 383, 27_293_600),
        (lambda: build(ResNet(152), 256, "relu"), 893, 61_929_376),
    ],
)
def test_models_are_as_large_as_published(make, tensors, floats):
    model = make()
    trained = sum(int(parameter.size) for parameter in model.parameters() if parameter.trainable)
    assert (len(model.state_dict()), trained) == (tensors, floats)


def test_anchors_are_those_of_the_published_network():
    model = mobile()
    model.eval()
    anchors = model({"image": paddle.zeros([1, 3, 65, 100], "uint8")})["anchors"].numpy() * [100, 65, 100, 65]
    rows = [
        ((column + 0.5) * step, (row + 0.5) * step, side, side)
        for step, sides in zip((8, 16, 32), MIN_SIZES, strict=True)
        for row in range(-(-65 // step))
        for column in range(-(-100 // step))
        for side in sides
    ]
    np.testing.assert_allclose(anchors, rows, rtol=1e-5)


def test_the_papers_pyramid_has_five_levels_one_head_and_deformable_convolutions():
    backbone = ResNet(50, levels=[1, 2, 3, 4])
    sides = [[round(16 * 2**i * 2 ** (k / 3), 2) for k in range(3)] for i in range(5)]
    head = partial(FaceHead, min_sizes=sides, steps=[4, 8, 16, 32, 64], landmarks=5, kernel_size=1, shared=True)
    model = FaceModel(
        Input((640, 640), [123, 117, 104], [1, 1, 1]), backbone, head, partial(FPN, channels=32, extra_levels=1, deformable=True)
    )
    model.eval()
    with paddle.no_grad():
        outputs = model({"image": paddle.zeros([1, 3, 640, 640], "uint8")})
    assert outputs["boxes"].shape == [1, 102_300, 4] and outputs["landmarks"].shape == [1, 102_300, 5, 2]
    assert [len(convolutions) for convolutions in (model.head.boxes, model.head.scores, model.head.landmarks)] == [1, 1, 1]
    assert sum(type(layer).__name__ == "DeformConv2D" for layer in model.sublayers()) == 3 + 5 * 5


def test_an_untrained_deformable_convolution_is_an_ordinary_one_and_learns_its_offsets(rng):
    from ppface.nets.layers.deformable_conv import DeformableConvBN

    layer = DeformableConvBN(4, 6, "relu")
    x = paddle.to_tensor(rng.normal(size=(2, 4, 9, 7)).astype("float32"))
    want = F.relu(layer.norm(F.conv2d(x, layer.conv.weight, padding=1)))
    np.testing.assert_allclose(layer(x).numpy(), want.numpy(), atol=1e-5)
    (layer(x) ** 2).sum().backward()
    assert float(layer.offsets.weight.grad.abs().max()) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MobileNetV1(0.3),
            "MobileNetV1: expected a width above 0 that gives whole numbers of channels (32 * width), received 0.3",
        ),
        (lambda: ResNet(50, [3, 2]), "ResNet: expected levels as an ascending list of stages 1 to 4, received [3, 2]"),
        (lambda: FPN([8, 16], channels=6), "FPN: expected channels to be a multiple of 4, received 6"),
        (
            lambda: FaceHead([], [], []),
            "FaceHead: expected min_sizes and steps for each of 0 feature maps, received 0 min_sizes and 0 steps",
        ),
        (
            lambda: FaceHead([8], [[math.nan]], [8]),
            "FaceHead: expected finite numbers, received min_sizes=[[nan]]",
        ),
        (lambda: FPN([], 64), "FPN: expected feature maps and extra_levels >= 0, received in_channels=[], extra_levels=0"),
        (
            lambda: FaceHead([8, 16], [[16], [32]], [8, 16], shared=True),
            "FaceHead: expected shared convolutions to have the same channels and number of min_sizes on every level, "
            "received in_channels=[8, 16] and [1, 1] min_sizes",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
