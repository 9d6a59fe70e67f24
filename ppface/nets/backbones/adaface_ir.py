"""The improved residual networks of AdaFace and ArcFace, with and without squeeze-and-excitation, named as in PaddleClas.

Source: Deng et al. 2019, https://arxiv.org/abs/1801.07698, section 3.1 (the block BN, 3x3, BN, PReLU, 3x3, BN), and Kim et al. 2022,
https://arxiv.org/abs/2204.00964, section 4, for the depths; squeeze-and-excitation of Hu et al. 2018, https://arxiv.org/abs/1709.01507.
Shape: (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation; with `keeps_map` (that, the last map (N, *map_shape)).
"""

import math

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.channel_means import channel_means
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import PReLU, Whiten, kaiming
from ppface.nets.layers.norm_act import NormActSequential
from ppface.nets.layers.picture_size import check_picture_size, check_sizes

STRIDE = 16
BASIC, BOTTLENECK = (64, 128, 256, 512), (256, 512, 1024, 2048)  # output channels per stage


class AdaFaceIR(nn.Layer):
    """A residual network of units without activation after the addition; the first unit of every stage has stride 2.

    Args:
        units: number of units per stage.
        depths: output channels per stage; BOTTLENECK makes the units bottlenecks.
        squeeze: with squeeze-and-excitation, reduction 16, in every unit.
        embedding_size: D, 512 in all published networks.
        input_size: (height, width) in pixels, multiples of 16; published networks use 112x112.

    Raises:
        ValueError: an embedding_size below 1, or an input_size that is not a multiple of 16.
        DataError: pictures of another size.
    """

    any_size = keeps_map = False
    published_names = ((r"^(input_layer|body|output_layer)\.", r"backbone.\1."),)  # PaddleClas -> ppface: files with only the backbone

    def __init__(self, units: list[int], depths: tuple[int, ...], squeeze: bool, embedding_size: int, input_size: tuple[int, int]):
        super().__init__()
        check_sizes(type(self).__name__, embedding_size, input_size, STRIDE)
        self.input_layer = NormActSequential(_conv(3, 64, 3), nn.BatchNorm2D(64), PReLU(64))
        body, channels = [], 64
        for count, depth in zip(units, depths, strict=True):
            for i in range(count):
                body.append(Unit(channels, depth, 2 if i == 0 else 1, depths == BOTTLENECK, squeeze))
                channels = depth
        self.body = nn.Sequential(*body)
        self.map_shape = (channels, input_size[0] // STRIDE, input_size[1] // STRIDE)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2D(channels),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(math.prod(self.map_shape), embedding_size),
            Whiten(embedding_size),
        )
        self.out_channels, self.input_size = [embedding_size], (input_size[0], input_size[1])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor | tuple[paddle.Tensor, paddle.Tensor]:
        check_picture_size(type(self).__name__, x, self.input_size)
        last = self.body(self.input_layer(x))
        embedding = self.output_layer(last)
        return (embedding, last) if self.keeps_map else embedding


class Unit(nn.Layer):
    """shortcut(x) + residual(x): two 3x3 convolutions, or 1x1, 3x3 and 1x1 where the 3x3 has a quarter of the channels."""

    def __init__(self, channels: int, depth: int, stride: int, bottleneck: bool, squeeze: bool):
        super().__init__()
        self.stride = stride
        self.shortcut_layer = None
        if channels != depth:
            self.shortcut_layer = NormActSequential(_conv(channels, depth, 1, stride), nn.BatchNorm2D(depth))
        middle = depth // 4
        layers: list[nn.Layer] = [nn.BatchNorm2D(channels)]
        if bottleneck:
            layers += [_conv(channels, middle, 1), nn.BatchNorm2D(middle), PReLU(middle)]
            layers += [_conv(middle, middle, 3), nn.BatchNorm2D(middle), PReLU(middle), _conv(middle, depth, 1, stride)]
        else:
            layers += [_conv(channels, depth, 3), nn.BatchNorm2D(depth), PReLU(depth), _conv(depth, depth, 3, stride)]
        self.res_layer = NormActSequential(*layers, nn.BatchNorm2D(depth))
        if squeeze:
            self.res_layer.add_sublayer("se_block", SqueezeExcite(depth))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        shortcut = x
        if self.shortcut_layer is not None:
            shortcut = self.shortcut_layer(x)
        elif self.stride > 1:
            shortcut = F.max_pool2d(x, kernel_size=1, stride=self.stride)
        return shortcut + self.res_layer(x)


class SqueezeExcite(nn.Layer):
    """x * sigmoid(fc2(relu(fc1(mean of x over the map)))), fc1 has a sixteenth of the channels."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.fc1, self.fc2 = _conv(channels, channels // reduction, 1), _conv(channels // reduction, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * F.sigmoid(self.fc2(F.relu(self.fc1(channel_means(x)))))


def _conv(channels_in: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2D:
    return convolution(channels_in, out, kernel, stride, 1, kaiming())


def _published(name: str, units: list[int], depths: tuple[int, ...], squeeze: bool) -> type[AdaFaceIR]:
    """Defines one network of the family and registers it under its name."""

    def __init__(self, embedding_size: int = 512, input_size: tuple[int, int] = (112, 112)):  # noqa: N807
        AdaFaceIR.__init__(self, units, depths, squeeze, embedding_size, input_size)

    doc = f"""Units {units} of {depths} channels{", with squeeze-and-excitation" if squeeze else ""}. Source, Shape: see the module.

    Args:
        embedding_size: D.
        input_size: (height, width) in pixels, multiples of 16.

    Raises:
        ValueError: an embedding_size below 1, or an input_size that is not a multiple of 16.
    """
    body = {"__init__": __init__, "__doc__": doc, "__module__": __name__}
    return register("backbone")(type(name, (AdaFaceIR,), body))


AdaFace_IR_18 = _published("AdaFace_IR_18", [2, 2, 2, 2], BASIC, squeeze=False)
AdaFace_IR_34 = _published("AdaFace_IR_34", [3, 4, 6, 3], BASIC, squeeze=False)
AdaFace_IR_50 = _published("AdaFace_IR_50", [3, 4, 14, 3], BASIC, squeeze=False)
AdaFace_IR_101 = _published("AdaFace_IR_101", [3, 13, 30, 3], BASIC, squeeze=False)
AdaFace_IR_152 = _published("AdaFace_IR_152", [3, 8, 36, 3], BOTTLENECK, squeeze=False)
AdaFace_IR_200 = _published("AdaFace_IR_200", [3, 24, 36, 3], BOTTLENECK, squeeze=False)
AdaFace_IR_SE_50 = _published("AdaFace_IR_SE_50", [3, 4, 14, 3], BASIC, squeeze=True)
AdaFace_IR_SE_101 = _published("AdaFace_IR_SE_101", [3, 13, 30, 3], BASIC, squeeze=True)
AdaFace_IR_SE_152 = _published("AdaFace_IR_SE_152", [3, 8, 36, 3], BOTTLENECK, squeeze=True)
AdaFace_IR_SE_200 = _published("AdaFace_IR_SE_200", [3, 24, 36, 3], BOTTLENECK, squeeze=True)
