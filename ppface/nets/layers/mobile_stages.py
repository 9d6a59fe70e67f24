"""The convolutions of MobileNetV1 in three stages, which detectors and recognizers share."""

from paddle import nn

from ppface.nets.layers import Act, ConvBN

# Howard et al. 2017, https://arxiv.org/abs/1704.04861, table 1: (channels, stride) of every depthwise separable block
STAGES = (
    [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1)],
    [(512, 2)] + [(512, 1)] * 5,
    [(1024, 2), (1024, 1)],
)
PYTORCH_NAMES = (  # of the PyTorch ports that RetinaFace and FaceNet have in common, as in `backbone.stage1.1.0.weight` -> ppface
    (r"^backbone\.stage1\.0\.0\.", "backbone.stage1.0.conv."),
    (r"^backbone\.stage1\.0\.1\.", "backbone.stage1.0.norm."),
    (r"^(backbone\.stage\d\.\d)\.0\.", r"\1.depthwise.conv."),
    (r"^(backbone\.stage\d\.\d)\.1\.", r"\1.depthwise.norm."),
    (r"^(backbone\.stage\d\.\d)\.3\.", r"\1.pointwise.conv."),
    (r"^(backbone\.stage\d\.\d)\.4\.", r"\1.pointwise.norm."),
)


class SeparableBlock(nn.Sequential):
    """A depthwise 3x3 and a 1x1 convolution, each with batch norm and activation: figure 3, right."""

    def __init__(self, channels_in: int, out: int, stride: int, act: Act):
        super().__init__(
            ("depthwise", ConvBN(channels_in, channels_in, 3, stride, groups=channels_in, act=act)),
            ("pointwise", ConvBN(channels_in, out, 1, act=act)),
        )


def mobile_stages(width: float, act: Act) -> tuple[list[nn.Sequential], list[int]]:
    """The three stages, with strides 8, 16 and 32 in all, and the output channels of each.

    Args:
        width: factor on the channels of all layers; 32 * width must be a whole number.
        act: activation after every convolution.
    """
    channels = round(32 * width)
    layers: list[nn.Layer] = [ConvBN(3, channels, 3, 2, act=act)]
    stages, out_channels = [], []
    for blocks in STAGES:
        for out, stride in blocks:
            layers.append(SeparableBlock(channels, round(out * width), stride, act))
            channels = round(out * width)
        stages.append(nn.Sequential(*layers))
        out_channels.append(channels)
        layers = []
    return stages, out_channels
