"""BlazeFace under PaddleDetection's names: the same tensors give the same outputs as a plain forward written from those names."""

from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppface.core.errors import UserError
from ppface.nets.backbones import BlazeNet
from ppface.nets.heads import FaceHead
from ppface.nets.model import FaceModel, Input
from ppface.nets.necks import BlazeNeck
from ppface.nets.weights import load_weights

SINGLE = [[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]]
DOUBLE = [[48, 24, 96, 2], [96, 24, 96], [96, 24, 96], [96, 24, 96, 2], [96, 24, 96], [96, 24, 96]]
MEAN, STD = [123.0, 117.0, 104.0], [127.502231] * 3


def build(neck=None, landmarks=0, **backbone):
    return FaceModel(
        Input((640, 640), MEAN, STD),
        BlazeNet(SINGLE, DOUBLE, **backbone),
        partial(FaceHead, min_sizes=[[16, 24], [32, 48, 64, 80, 96, 128]], steps=[8, 16], landmarks=landmarks),
        partial(BlazeNeck, neck_type=neck) if neck else None,
    )


class Published:
    """Random tensors under the published names: asked for by a forward that is written from the names alone."""

    def __init__(self, rng, act="relu", five=True, neck=None):
        self.rng, self.act, self.five, self.neck, self.tensors = rng, act, five, neck, {}

    def get(self, name, shape, low=-1.0, high=1.0):
        if name not in self.tensors:
            self.tensors[name] = self.rng.uniform(low, high, shape).astype("float32")
        return paddle.to_tensor(self.tensors[name])

    def conv(self, x, name, out, kernel, stride=1, groups=1, act="relu"):
        fan_in = x.shape[1] // groups * kernel * kernel
        bound = (4 / fan_in) ** 0.5
        x = F.conv2d(
            x,
            self.get(f"{name}._conv.weight", (out, x.shape[1] // groups, kernel, kernel), -bound, bound),
            None,
            stride,
            kernel // 2,
            1,
            groups,
        )
        mean, variance = self.get(f"{name}._batch_norm._mean", out, -0.1, 0.1), self.get(f"{name}._batch_norm._variance", out, 0.7, 1.5)
        weight, bias = self.get(f"{name}._batch_norm.weight", out, 0.7, 1.2), self.get(f"{name}._batch_norm.bias", out, -0.2, 0.2)
        mean, variance, weight, bias = (t.reshape([1, -1, 1, 1]) for t in (mean, variance, weight, bias))
        x = (x - mean) / paddle.sqrt(variance + 1e-5) * weight + bias
        if act == "hard_swish":
            return x * paddle.clip(x + 3, 0, 6) / 6
        return {"relu": F.relu, "leaky": lambda v: paddle.where(v > 0, v, 0.01 * v), None: lambda v: v}[act](x)

    def depthwise(self, x, name, stride):
        channels = x.shape[1]
        if self.five:
            return self.conv(x, name, channels, 5, stride, channels)
        return self.conv(self.conv(x, f"{name}_1", channels, 3, 1, channels), f"{name}_2", channels, 3, stride, channels)

    def shortcut(self, x, name, out, stride):
        if stride == 1:
            return x
        return self.conv(F.max_pool2d(x, 2, 2, ceil_mode=True), f"{name}_shortcut_conv", out, 1)

    def backbone(self, x):
        x = self.conv(x, "backbone.conv1", 24, 3, 2)
        for k, (_, out, *stride) in enumerate(SINGLE):
            stride, name = (stride or [1])[0], f"backbone.blaze_{k}"
            y = self.depthwise(x, f"{name}.blaze_{k}1_dw", stride)
            y = self.conv(y, f"{name}.conv_pw", out, 1, act=None)
            x = F.relu(y + self.shortcut(x, f"{name}.blaze_{k}", out, stride))
        features = []
        for k, (_, mid, out, *stride) in enumerate(DOUBLE):
            stride, name = (stride or [1])[0], f"backbone.double_blaze_{k}"
            y = self.depthwise(x, f"{name}.double_blaze_{k}1_dw", stride)
            y = self.conv(y, f"{name}.conv_pw", mid, 1, act=self.act)
            y = self.depthwise(y, f"{name}.double_blaze_{k}2_dw", 1)
            y = self.conv(y, f"{name}.conv_pw2", out, 1)
            x = F.relu(y + self.shortcut(x, f"{name}.double_blaze_{k}", out, stride))
            features.append(x)
        return [features[2], features[5]]

    def necks(self, features):
        fine, coarse = features
        if self.neck and "fpn" in self.neck:
            fine = self.conv(fine, "neck.fpn.conv1_fpn", 48, 1, act="leaky")
            coarse = self.conv(coarse, "neck.fpn.conv2_fpn", 48, 1, act="leaky")
            up = F.interpolate(coarse, size=fine.shape[2:], mode="nearest")
            fine = self.conv(fine + up, "neck.fpn.conv3_fpn", 48, 3, act="leaky")
        if self.neck and "ssh" in self.neck:
            fine, coarse = self.ssh(fine, "neck.ssh1"), self.ssh(coarse, "neck.ssh2")
        return [fine, coarse]

    def ssh(self, x, name):
        channels, outs = x.shape[1], []
        for i, (part, act) in enumerate([(2, None), (4, "leaky"), (4, None), (4, "leaky"), (4, None)]):
            x = self.conv(x, f"{name}.conv{i}_ssh", channels // part, 3, act=act)
            outs.append(x)
        return F.relu(paddle.concat([outs[0], outs[2], outs[4]], axis=1))

    def forward(self, image):
        x = (paddle.to_tensor(image.astype("float32")) - paddle.to_tensor(MEAN).reshape([1, 3, 1, 1])) / 127.502231
        outputs = {}
        for key, name, width in (("boxes", "boxes", 4), ("logits", "scores", 2)):
            rows = []
            for i, feature in enumerate(self.necks(self.backbone(x))):
                out, name_i = (2, 6)[i] * width, f"blaze_head.{name}{i}"
                y = F.conv2d(feature, self.get(f"{name_i}.weight", (out, feature.shape[1], 3, 3), -0.03, 0.03), padding=1)
                y = y + self.get(f"{name_i}.bias", out).reshape([1, -1, 1, 1])
                rows.append(y.transpose([0, 2, 3, 1]).reshape([len(image), -1, width]))
            outputs[key] = paddle.concat(rows, axis=1).numpy()
        return outputs


@pytest.mark.parametrize("size", [(640, 640), (321, 517)])
@pytest.mark.parametrize(
    ("neck", "act", "five"),
    [(None, "relu", True), ("fpn_ssh", "relu", True), ("only_fpn", "hard_swish", True), ("only_ssh", "relu", False)],
)
@paddle.no_grad()
def test_published_tensors_give_the_published_outputs(rng, tmp_path, neck, act, five, size):
    published = Published(rng, act, five, neck)
    image = rng.integers(0, 256, (1, 3, *size), dtype=np.uint8)
    want = published.forward(image)
    paddle.save({name: paddle.to_tensor(value) for name, value in published.tensors.items()}, str(tmp_path / "w.pdparams"))

    model = build(neck, act=act, use_5x5kernel=five)
    report = load_weights(model, tmp_path / "w.pdparams")
    assert len(report.matched) == len(published.tensors) and not (report.missing or report.unexpected or report.mismatched)
    model.eval()
    outputs = model({"image": paddle.to_tensor(image)})
    assert np.abs(want["logits"]).max() > 0.1
    for key, value in want.items():
        np.testing.assert_allclose(outputs[key].numpy(), value, rtol=0, atol=1e-5)
    assert outputs["size"].tolist() == list(size)


@pytest.mark.parametrize(("neck", "tensors", "floats"), [(None, 198, 119_616), ("fpn_ssh", 263, 163_680)])
def test_models_are_as_large_as_the_published_files(neck, tensors, floats):
    state = build(neck).state_dict()
    assert (len(state), sum(int(tensor.size) for tensor in state.values())) == (tensors, floats)


def test_the_front_camera_model_of_the_paper():
    model = FaceModel(
        Input((128, 128), MEAN, STD),
        BlazeNet(SINGLE, DOUBLE, stem_kernel=5),
        partial(FaceHead, min_sizes=[[16, 24], [32, 48, 64, 80, 96, 128]], steps=[8, 16], landmarks=6),
    )
    model.eval()
    outputs = model({"image": paddle.zeros([2, 3, 128, 128], "uint8")})
    anchors = 16 * 16 * 2 + 8 * 8 * 6
    assert outputs["boxes"].shape == [2, anchors, 4] and outputs["landmarks"].shape == [2, anchors, 6, 2]
    assert model.backbone.strides == [8, 16] and model.backbone.out_channels == [96, 96]
    assert model.backbone.stem.conv.weight.shape[2:] == [5, 5]


def test_weights_start_kaiming_normal_and_take_the_learning_rate_factor():
    paddle.seed(0)
    backbone = BlazeNet(SINGLE, DOUBLE, conv_lr=0.1)
    pointwise = np.concatenate(
        [block.pw2.conv.weight.numpy().ravel() * (block.pw2.conv.weight.shape[1] / 2) ** 0.5 for block in backbone.double_blocks]
    )
    assert pointwise.std() == pytest.approx(1, abs=0.02) and abs(pointwise.mean()) < 0.02
    assert backbone.stem.conv.weight.optimize_attr["learning_rate"] == 0.1
    assert backbone.stem.norm.weight.optimize_attr["learning_rate"] == 1.0


@pytest.mark.parametrize(
    ("single", "double", "message"),
    [
        (
            [[24, 24], [23, 24]],
            DOUBLE,
            "BlazeNet: blaze_filters[1]: expected in=24, the channels of the block before it, received [23, 24]",
        ),
        (
            [[24, 24]],
            [[48, 24, 96, 2]],
            "BlazeNet: double_blaze_filters[0]: expected in=24, the channels of the block before it, received [48, 24, 96, 2]",
        ),
        ([[24, 48]], DOUBLE, "BlazeNet: blaze_filters[0]: expected out=24 as stride 1 adds the input to the output, received [24, 48]"),
        ([[24, 24, 3]], DOUBLE, "BlazeNet: blaze_filters[0]: expected stride 1 or 2, received [24, 24, 3]"),
        ([[24]], DOUBLE, "BlazeNet: blaze_filters[0]: expected [in, out] or [in, out, stride], each at least 1, received [24]"),
        ([[24, 24]], [], "BlazeNet: expected at least one block in double_blaze_filters, received []"),
    ],
)
def test_filters_that_do_not_fit_are_named(single, double, message):
    with pytest.raises(ValueError) as error:
        BlazeNet(single, double)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlazeNeck([96], "only_fpn"), "BlazeNeck: expected two feature maps, received in_channels=[96]"),
        (
            lambda: BlazeNeck([96, 90], "only_ssh"),
            "BlazeNeck: expected multiples of 4 channels before the context modules, received [96, 90]",
        ),
        (
            lambda: FaceHead([96, 96], [[16]], [8]),
            "FaceHead: expected min_sizes and steps for each of 2 feature maps, received 1 min_sizes and 1 steps",
        ),
        (
            lambda: FaceHead([96], [[16, 16]], [8]),
            "FaceHead: expected min_sizes to hold different numbers above 0 for every level, received [[16, 16]]",
        ),
        (
            lambda: FaceHead([96], [[16]], [0]),
            "FaceHead: expected steps >= 1 and landmarks >= 0, received steps=[0], landmarks=0",
        ),
        (lambda: Input((0, 4), MEAN, STD), "Input: expected size: [height, width] of at least 1, received (0, 4)"),
        (
            lambda: Input((4, 4), [0, 0], STD),
            f"Input: expected three means and three std above 0 (red, green, blue), received mean=[0, 0], std={STD}",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_steps_that_are_not_the_strides_of_the_maps_are_refused():
    head, image = FaceHead([8, 8], [[16], [32]], [8, 32]), paddle.zeros([1, 3, 96, 128])
    with pytest.raises(UserError) as error:
        head([paddle.zeros([1, 8, 12, 16]), paddle.zeros([1, 8, 6, 8])], image)
    assert str(error.value) == (
        "FaceHead: steps=[8, 32] do not fit the network: for pictures of 96x128 they expect feature maps of 12x16, 3x4, received 12x16, 6x8; "
        "steps are the strides of the feature maps"
    )
    assert head([paddle.zeros([1, 8, 12, 16]), paddle.zeros([1, 8, 3, 4])], image)["anchors"].shape == [12 * 16 + 3 * 4, 4]


def test_neck_of_no_type_passes_features_through():
    features = [paddle.ones([1, 8, 4, 4]), paddle.ones([1, 6, 2, 2])]
    for neck_type in (None, "None"):
        neck = BlazeNeck([8, 6], neck_type)
        assert neck(features) is features and neck.out_channels == [8, 6] and not neck.state_dict()
    assert BlazeNeck([96, 96], "fpn_ssh").out_channels == [48, 48]


def test_anchors_are_remembered_for_a_size_but_not_for_ever():
    model = build()
    model.eval()
    first = model({"image": paddle.zeros([1, 3, 64, 64], "uint8")})["anchors"]
    assert model({"image": paddle.zeros([2, 3, 64, 64], "uint8")})["anchors"] is first
    for side in range(8, 8 + 30):
        model({"image": paddle.zeros([1, 3, side, 8], "uint8")})
    assert len(model.head._cache) <= 16
