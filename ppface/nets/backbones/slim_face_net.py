"""SlimFaceNet: MobileFaceNet with searched expansions and squeeze-and-excitation, of a smaller width."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.channel_means import channel_means
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import GlobalDepthwiseConv2D, PReLU, kaiming
from ppface.nets.layers.norm_act import NormActSequential
from ppface.nets.layers.picture_size import check_picture_size, check_sizes

STRIDE, LAST = 16, 512
STAGES = ((0, 5, 2), (1, 1, 2), (1, 6, 1), (1, 1, 2), (1, 2, 1))  # index of the width, units, stride of the first
WIDTHS = {1.0: (64, 128), 0.9: (56, 116), 0.75: (48, 96), 0.6: (40, 76)}
UNITS = {  # of each unit, expansion and, with "s", squeeze-and-excitation
    "A": "2 2s 6s 2s 2 4 2s 4 2 2s 4 2s 2s 2 2s",
    "B": "2s 2s 2 2s 2s 2s 2s 2 2s 2 2s 4s 4 4 4s",
    "C": "2s 2s 4 2s 2 4 2s 2 2s 2 2s 2s 4 4 4s",
}
PUBLISHED = {"A": 0.6, "B": 0.75, "C": 0.75}


@register("backbone")
class SlimFaceNet(nn.Layer):
    """SlimFaceNet, found by architecture search, https://github.com/PaddlePaddle/PaddleSlim/tree/release/2.0.0/demo/slimfacenet
    (demo/models/slimfacenet.py): inverted residuals of Sandler et al. 2018, https://arxiv.org/abs/1801.04381, table 1.

    As in the first release, to which the published accuracy belongs, nothing follows the addition; later releases put ReLU there. C has the
    units of later releases.

    Args:
        architecture: which of the searched lists of units.
        width: 1.0, 0.9, 0.75 or 0.6 of MobileFaceNet's channels; None: as published, 0.6 for A, 0.75 for B and C.
        embedding_size: D.
        input_size: (height, width) in pixels, multiples of 16.

    Shape:
        (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation

    Raises:
        ValueError: another width, an embedding_size below 1, or an input_size that is not a multiple of 16.
        DataError: pictures of another size.
    """

    any_size = False

    def __init__(
        self,
        architecture: Literal["A", "B", "C"] = "A",
        width: float | None = None,
        embedding_size: int = 128,
        input_size: tuple[int, int] = (112, 96),
    ):
        super().__init__()
        check_sizes("SlimFaceNet", embedding_size, input_size, STRIDE)
        width = PUBLISHED[architecture] if width is None else width
        if width not in WIDTHS:
            raise ValueError(f"SlimFaceNet: expected a width of {', '.join(map(str, WIDTHS))}, received {width}")
        self.conv1 = _conv(3, 64, 3, stride=2)
        self.dw_conv1 = _conv(64, 64, 3, groups=64)
        units, channels, kinds = [], 64, iter(UNITS[architecture].split())
        for index, count, stride in STAGES:
            for i in range(count):
                kind, out = next(kinds), WIDTHS[width][index]
                units.append(Unit(channels, out, int(kind[0]), stride if i == 0 else 1, squeeze=kind.endswith("s")))
                channels = out
        self.blocks = nn.Sequential(*units)
        self.conv2 = _conv(channels, LAST, 1)
        self.pool = nn.Sequential(GlobalDepthwiseConv2D(LAST, (input_size[0] // STRIDE, input_size[1] // STRIDE)), nn.BatchNorm2D(LAST))
        self.linear = convolution(LAST, embedding_size, 1, 1, 1, kaiming())
        self.norm = nn.BatchNorm2D(embedding_size)
        self.out_channels, self.input_size = [embedding_size], (input_size[0], input_size[1])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        check_picture_size("SlimFaceNet", x, self.input_size)
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return self.norm(self.linear(self.pool(x))).flatten(1)


class Unit(nn.Layer):
    """1x1 to `expansion` times the channels, depthwise 3x3, squeeze-and-excitation, linear 1x1; plus x where the shape stays."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int, squeeze: bool):
        super().__init__()
        middle = channels * expansion
        self.expand = _conv(channels, middle, 1)
        self.depthwise = _conv(middle, middle, 3, stride, groups=middle)
        self.se = SqueezeExcite(middle) if squeeze else nn.Identity()
        self.project = _conv(middle, out, 1, linear=True)
        self.adds = stride == 1 and channels == out

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.adds else y


class SqueezeExcite(nn.Layer):
    """x times clip(0.2 z + 0.5, 0, 1), z from two 1x1 convolutions of its means: Hu et al. 2018, https://arxiv.org/abs/1709.01507."""

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2D(channels, channels // reduction, 1), nn.Conv2D(channels // reduction, channels, 1)
        self.act = PReLU(channels // reduction)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * F.hardsigmoid(self.fc2(self.act(self.fc1(channel_means(x)))), slope=0.2, offset=0.5)


def _conv(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False) -> NormActSequential:
    """Convolution without bias, batch norm, and PReLU unless `linear`."""
    layers = [convolution(channels, out, kernel, stride, groups, kaiming()), nn.BatchNorm2D(out)]
    return NormActSequential(*layers, *([] if linear else [PReLU(out)]))
