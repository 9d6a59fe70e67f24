"""PFLD under the names of PFLD-pytorch: the same tensors give the same outputs as a plain forward written from those names."""

from functools import partial
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppface.core.errors import UserError
from ppface.nets.backbones import PFLD
from ppface.nets.heads import LandmarkHead
from ppface.nets.model import FaceModel, Input
from ppface.nets.weights import load_weights
from tests.nets.torch_tensors import TorchTensors

NAMES = Path(__file__).parents[2] / "configs" / "weights" / "pfld_polariszhao.yaml"


def build(points=98, pose=True, **backbone):
    size = Input((112, 112), [0, 0, 0], [255, 255, 255], order="BGR")
    return FaceModel(size, PFLD(**backbone), partial(LandmarkHead, points=points, pose=pose))


class Published(TorchTensors):
    """PFLD, written from its names alone."""

    def bottleneck(self, x, name, out, expansion, stride, shortcut):
        middle = x.shape[1] * expansion
        y = self.conv(x, f"{name}.conv.0", f"{name}.conv.1", middle, 1)
        y = self.conv(y, f"{name}.conv.3", f"{name}.conv.4", middle, 3, stride, middle)
        y = self.conv(y, f"{name}.conv.6", f"{name}.conv.7", out, 1, slope=1)
        return x + y if shortcut else y

    def forward(self, image, points):
        x = paddle.to_tensor(image[:, ::-1].astype("float32") / 255)
        x = self.conv(self.conv(x, "conv1", "bn1", 64, 3, 2), "conv2", "bn2", 64, 3)
        x = self.bottleneck(x, "conv3_1", 64, 2, 2, False)
        for i in range(2, 6):
            x = self.bottleneck(x, f"block3_{i}", 64, 2, 1, True)
        pose = x
        x = self.bottleneck(x, "conv4_1", 128, 2, 2, False)
        x = self.bottleneck(x, "conv5_1", 128, 4, 1, False)
        for i in range(2, 7):
            x = self.bottleneck(x, f"block5_{i}", 128, 4, 1, True)
        one = self.bottleneck(x, "conv6_1", 16, 2, 1, False)
        two = self.conv(one, "conv7.0", "conv7.1", 32, 3, 2)
        bias = self.get("conv8.bias", 128, -0.1, 0.1)
        three = F.relu(F.conv2d(two, self.get("conv8.weight", (128, 32, 7, 7), -0.05, 0.05), bias))
        flat = paddle.concat([one.mean([2, 3]), two.mean([2, 3]), three.flatten(1)], axis=1)
        out = F.linear(flat, self.get("fc.weight", (2 * points, 176), -0.1, 0.1).T, self.get("fc.bias", 2 * points, 0, 1))
        return out.reshape([-1, points, 2]).numpy() * 112, pose


@paddle.no_grad()
def test_published_tensors_give_the_published_landmarks(rng, tmp_path):
    published = Published(rng)
    image = rng.integers(0, 256, (2, 3, 112, 112), dtype=np.uint8)
    want, _ = published.forward(image, 98)
    rules = tmp_path / "names.yaml"
    rules.write_text("layout: torch\n" + NAMES.read_text())
    whole = {"epoch": 1, "pfld_backbone": {name: paddle.to_tensor(value) for name, value in published.tensors.items()}}
    paddle.save(whole, str(tmp_path / "w.pdparams"))

    model = build(depthwise_stem=False)
    report = load_weights(model, tmp_path / "w.pdparams", names=rules)
    assert len(report.matched) == len(published.tensors) and not (report.unexpected or report.mismatched)
    assert all(name.startswith("head.pose.") for name in report.missing)  # training only
    model.eval()
    outputs = model({"image": paddle.to_tensor(image)})
    assert list(outputs) == ["landmarks"]
    np.testing.assert_allclose(outputs["landmarks"].numpy(), want, rtol=0, atol=1e-4 * abs(want).max())


def test_models_are_as_large_as_published():
    model = build(depthwise_stem=False)
    trained = {part: sum(int(p.size) for p in getattr(model, part).parameters() if p.trainable) for part in ("backbone", "head")}
    pose = sum(int(p.size) for p in model.head.pose.parameters() if p.trainable)
    unused = 2 * 128  # of the published file's bn8, which its network never calls
    assert (trained["backbone"] + trained["head"] - pose + unused, pose) == (1_264_804, 463_811)


@pytest.mark.parametrize(("width", "points"), [(0.25, 5), (1, 68)])
def test_the_pose_is_predicted_in_training_alone(width, points):
    model = build(points, width=width)
    image = paddle.zeros([2, 3, 112, 112], "uint8")
    outputs = model({"image": image})
    assert outputs["landmarks"].shape == [2, points, 2] and outputs["pose"].shape == [2, 3]
    model.eval()
    assert list(model({"image": image})) == ["landmarks"]
    assert list(build(points, pose=False, width=width)({"image": image})) == ["landmarks"]


def test_batch_norm_of_the_last_convolution_keeps_its_outputs_alive():
    for norm in (False, True):
        paddle.seed(0)
        backbone = PFLD(0.25, input_size=(32, 32), coarse_norm=norm)
        backbone.coarse.bias.set_value(backbone.coarse.bias - 100.0)  # what large steps do
        alive = backbone(paddle.randn([8, 3, 32, 32]))[-1] > 0
        assert 0.2 < float(alive.astype("float32").mean()) < 0.8 if norm else not alive.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PFLD(input_size=(100, 112)), "PFLD: expected an input_size of multiples of 16, received [100, 112]"),
        (lambda: PFLD(0.01), "PFLD: expected a width that gives at least one channel, received 0.01"),
        (
            lambda: LandmarkHead([8], 5),
            "LandmarkHead: expected points >= 1 and two or more feature maps, received points=5, in_channels=[8]",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(("side", "fits"), [(16, False), (17, True)])
def test_the_pose_needs_maps_of_a_size(side, fits):
    head = LandmarkHead([8, 4], points=5)
    features, image = [paddle.zeros([2, 8, side, 20]), paddle.zeros([2, 4, 1, 1])], paddle.zeros([2, 3, 64, 80])
    if fits:
        assert head(features, image)["pose"].shape == [2, 3]
        return
    with pytest.raises(UserError) as refused:
        head(features, image)
    needs = "a first feature map of at least 17x17, received 16x20"
    assert str(refused.value) == f"LandmarkHead: pose: true needs {needs}: use a larger model.input.size, or model.head.pose=false"
