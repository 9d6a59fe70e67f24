"""MobileNetV1 without its classifier: the small backbone of RetinaFace."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers import Act, ConvBN

# Howard et al. 2017, table 1: (channels, stride) of every depthwise separable block, one list per returned feature map
STAGES = (
    [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1)],
    [(512, 2)] + [(512, 1)] * 5,
    [(1024, 2), (1024, 1)],
)


@register("backbone")
class MobileNetV1(nn.Layer):
    """MobileNet, Howard et al. 2017, https://arxiv.org/abs/1704.04861, table 1, with feature maps of strides 8, 16 and 32.

    With width 0.25 and act "leaky_0.1" it is the body of https://github.com/biubug6/Pytorch_Retinaface (names: see
    configs/weights/retinaface_pytorch.yaml).

    Args:
        width: factor on the channels of all layers, > 0; 32 * width must be a whole number.
        act: activation after every convolution.

    Shape:
        (N, 3, H, W) -> [(N, 256 * width, ceil(H / 8), ceil(W / 8)), (N, 512 * width, ceil(H / 16), ...), (N, 1024 * width, ...)]

    Raises:
        ValueError: a width that gives no whole number of channels.
    """

    published_names = (  # Pytorch_Retinaface, as in `backbone.stage1.1.0.weight` -> ppface
        (r"^backbone\.stage1\.0\.0\.", "backbone.stage1.0.conv."),
        (r"^backbone\.stage1\.0\.1\.", "backbone.stage1.0.norm."),
        (r"^(backbone\.stage\d\.\d)\.0\.", r"\1.depthwise.conv."),
        (r"^(backbone\.stage\d\.\d)\.1\.", r"\1.depthwise.norm."),
        (r"^(backbone\.stage\d\.\d)\.3\.", r"\1.pointwise.conv."),
        (r"^(backbone\.stage\d\.\d)\.4\.", r"\1.pointwise.norm."),
    )

    def __init__(self, width: float = 1.0, act: Act = "relu"):
        super().__init__()
        if width <= 0 or 32 * width % 1:
            raise ValueError(f"MobileNetV1: expected a width above 0 that gives whole numbers of channels (32 * width), received {width}")
        channels = round(32 * width)
        layers: list[nn.Layer] = [ConvBN(3, channels, 3, 2, act=act)]
        self.out_channels, self.strides, stages = [], [8, 16, 32], []
        for blocks in STAGES:
            for out, stride in blocks:
                layers.append(SeparableBlock(channels, round(out * width), stride, act))
                channels = round(out * width)
            stages.append(nn.Sequential(*layers))
            self.out_channels.append(channels)
            layers = []
        self.stage1, self.stage2, self.stage3 = stages

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return [fine, middle, self.stage3(middle)]


class SeparableBlock(nn.Sequential):
    """A depthwise 3x3 and a 1x1 convolution, each with batch norm and activation: figure 3, right."""

    def __init__(self, channels_in: int, out: int, stride: int, act: Act):
        super().__init__(
            ("depthwise", ConvBN(channels_in, channels_in, 3, stride, groups=channels_in, act=act)),
            ("pointwise", ConvBN(channels_in, out, 1, act=act)),
        )
