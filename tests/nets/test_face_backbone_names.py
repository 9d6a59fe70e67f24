"""Names of other projects' recognition networks, listed as those projects have them, become all names of ours."""

from pathlib import Path

import pytest
from paddle import nn

from ppface.core.files.weight_names import read_names
from ppface.nets.backbones import FaceNetMobileNet, FaceViT, InceptionResNetV1, InsightMobileFaceNet, IResNet, MobileFaceNet, VarGFaceNet
from ppface.nets.torch_layout import our_name
from ppface.nets.weights import _rules, _translate

NAMES = Path(__file__).resolve().parents[2] / "configs/weights"


class Whole(nn.Layer):
    """A backbone where a model has it."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def ours(names, file, backbone):
    """Their names -> ours, by the rules of a file of names, if any, and those of the backbone."""
    whole = Whole(backbone)
    state, rules = whole.state_dict(), list(_rules(whole))
    translated = read_names(NAMES / file).translate("weights.pth", names) if file else dict.fromkeys(names)
    found = {}
    for name in names:
        candidates = [translated[name] or name, _translate(translated[name] or name, rules)]
        found[name] = next((our_name(one, state) for one in candidates if our_name(one, state) in state), None)
    return found, state


def norm(name):
    return [f"{name}.{last}" for last in ("weight", "bias", "running_mean", "running_var")]


def listing_names():
    def pair(name, *prelus):
        return [
            one
            for i in (0, 1)
            for one in (f"{name}.{i}.0.weight", *norm(f"{name}.{i}.1"), *([f"{name}.{i}.2.weight"] if prelus[i] else []))
        ]

    names = ["conv1.0.weight", *norm("conv1.1")]
    for i, act in enumerate((1, 1, 1, 0)):
        names += [f"head.block.{i}.0.weight", *norm(f"head.block.{i}.1"), *([f"head.block.{i}.2.weight"] if act else [])]
    names += pair("head.short", 1, 0)
    for stage, units in ((2, 3), (3, 7), (4, 4)):
        for branch in ("branch1", "branch2", "block3", "shortcut"):
            names += pair(f"stage{stage}.0.{branch}", 1, branch.startswith("branch"))
        names += [f"stage{stage}.{i}.prelu.weight" for i in range(units)]
        for i in range(1, units):
            for layer in ("vargconv1", "pointconv1", "vargconv2", "pointconv2"):
                unit = f"stage{stage}.{i}"
                names += [
                    f"{unit}.{layer}.0.weight",
                    *norm(f"{unit}.{layer}.1"),
                    *([f"{unit}.{layer}.2.weight"] if layer != "pointconv2" else []),
                ]
            names += [f"stage{stage}.{i}.se.SEblock.{j}.{last}" for j in (0, 2) for last in ("weight", "bias")]
    names += [f"embedding.embedding.{i}.weight" for i in (0, 3, 4)] + norm("embedding.embedding.1")
    return [*names, "embedding.fc.weight", "embedding.fc.bias"]


def xiaoccer_names():
    names = []
    for name in ("conv1", "dw_conv1", "conv2", "linear7", "linear1"):
        names += [f"{name}.conv.weight", *norm(f"{name}.bn"), *([f"{name}.prelu.weight"] if "linear" not in name else [])]
    for i in range(15):
        names += [f"blocks.{i}.conv.{j}.weight" for j in (0, 2, 3, 5, 6)]
        names += [one for j in (1, 4, 7) for one in norm(f"blocks.{i}.conv.{j}")]
    return names


def bubbliiiing_names():
    names = ["backbone.model.stage1.0.0.weight", *norm("backbone.model.stage1.0.1")]
    for stage, blocks in ((1, range(1, 6)), (2, range(6)), (3, range(2))):
        for block in (f"backbone.model.stage{stage}.{i}" for i in blocks):
            names += [f"{block}.0.weight", *norm(f"{block}.1"), f"{block}.3.weight", *norm(f"{block}.4")]
    return [*names, "Bottleneck.weight", *norm("last_bn")]


def mxnet_names():
    def statistics(name):
        return [f"{name}_{last}" for last in ("gamma", "beta", "moving_mean", "moving_var")]

    names = ["conv0_weight", *statistics("bn0"), "relu0_gamma", *statistics("bn1"), "pre_fc1_weight", "pre_fc1_bias", *statistics("fc1")]
    for stage in (1, 2, 3, 4):
        for unit in (f"stage{stage}_unit{i}" for i in (1, 2)):
            names += [f"{unit}_conv1_weight", f"{unit}_conv2_weight", f"{unit}_relu1_gamma"]
            names += [one for i in (1, 2, 3) for one in statistics(f"{unit}_bn{i}")]
        names += [f"stage{stage}_unit1_conv1sc_weight", *statistics(f"stage{stage}_unit1_sc")]
    return names


@pytest.mark.parametrize(
    ("names", "file", "backbone"),
    [
        (listing_names, "vargfacenet_listing.yaml", lambda: VarGFaceNet("listing", 4, (16, 16))),
        (xiaoccer_names, "xiaoccer_mobilefacenet.yaml", lambda: MobileFaceNet(input_size=(112, 96))),
        (bubbliiiing_names, "facenet_bubbliiiing.yaml", FaceNetMobileNet),
        (mxnet_names, None, lambda: IResNet(18, 4, input_size=(16, 16))),
    ],
)
def test_published_names_become_all_of_ours(names, file, backbone, caplog):
    found, state = ours(names(), file, backbone())
    assert None not in found.values()
    assert sorted(found.values()) == sorted(state) and not caplog.messages


@pytest.mark.parametrize(
    ("file", "theirs", "wanted"),
    [
        ("magface.yaml", "features.module.layer1.0.bn1.weight", "backbone.layer1.0.bn1.weight"),
        ("magface.yaml", "module.features.features.running_mean", "backbone.features.running_mean"),
        ("magface.yaml", "features.prelu.weight", "backbone.prelu.weight"),
        ("insightface_iresnet.yaml", "layer1.0.downsample.0.weight", "backbone.layer1.0.downsample.0.weight"),
        ("insightface_mbf.yaml", "features.layers.0.layers.0.weight", "backbone.features.layers.0.layers.0.weight"),
        ("insightface_vit.yaml", "blocks.3.attn.qkv.weight", "backbone.blocks.3.attn.qkv.weight"),
        ("facenet_pytorch.yaml", "repeat_1.0.branch0.conv.weight", "backbone.repeat_1.0.branch0.conv.weight"),
    ],
)
def test_files_of_names_translate(file, theirs, wanted):
    assert read_names(NAMES / file).translate("w.pth", [theirs]) == {theirs: wanted}


def test_the_layouts_that_only_need_a_prefix():
    inception = InceptionResNetV1(1)
    for name, network in {
        "layer1.1.prelu._weight": IResNet(18, 1, input_size=(16, 16)),
        "layers.3.layers.2.layers.1.layers.0.weight": InsightMobileFaceNet("mbf", 1, (16, 16)),
        "features.layers.0.layers.1._mean": InsightMobileFaceNet("mbf", 1, (16, 16)),
        "repeat_2.9.branch1.2.bn._mean": inception,
        "mixed_7a.branch2.1.conv.weight": inception,
        "block8.conv2d.bias": inception,
        "blocks.11.mlp.fc2.bias": FaceViT(embedding_size=1, mask_ratio=0, input_size=(9, 9)),
    }.items():
        assert name in network.state_dict(), name
