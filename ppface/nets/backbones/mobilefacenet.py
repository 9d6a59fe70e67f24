"""MobileFaceNet: a recognition backbone for mobile devices with one million parameters."""

from typing import Literal

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import GlobalDepthwiseConv2D, PReLU, kaiming
from ppface.nets.layers.norm_act import norm_act
from ppface.nets.layers.picture_size import check_picture_size, check_sizes

STRIDE = 16
SETTINGS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))  # expansion t, channels c, repeats n, stride s


@register("backbone")
class MobileFaceNet(nn.Layer):
    """MobileFaceNet, Chen et al. 2018, https://arxiv.org/abs/1804.07573, table 1: 3x3 convolution with stride 2, depthwise 3x3, five groups
    of inverted residuals, 1x1 convolution to 512, global pooling and a linear layer to the embedding.

    Batch norm and PReLU after every convolution; only batch norm after linear ones. 1,003,136 parameters and 221 M
    multiply-adds (224 M with one for each output of batch norm) with the defaults; 999,552 and 189 M for an input of 112x96.

    Args:
        embedding_size: D; 128 in the paper, 512 in later work.
        pooling: from the last feature map to a vector, compared in table 2 of the paper: "gdc", global depthwise convolution; "avg", global
            average pooling; "fc", one fully connected layer from the whole map to the embedding.
        input_size: (height, width) in pixels, multiples of 16: determines the size of the last kernel.

    Shape:
        (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation; with `keeps_map` (that, the last map (N, *map_shape))

    Raises:
        ValueError: an embedding_size below 1, or an input_size that is not a multiple of 16.
        DataError: pictures of another size, unless pooling is "avg", which takes any size.
    """

    keeps_map = False

    def __init__(self, embedding_size: int = 128, pooling: Literal["gdc", "avg", "fc"] = "gdc", input_size: tuple[int, int] = (112, 112)):
        super().__init__()
        check_sizes("MobileFaceNet", embedding_size, input_size, STRIDE)
        last = (input_size[0] // STRIDE, input_size[1] // STRIDE)
        self.conv1 = ConvBNPReLU(3, 64, 3, stride=2)
        self.dw_conv1 = ConvBNPReLU(64, 64, 3, depthwise=True)
        blocks, channels = [], 64
        for expansion, out, repeats, stride in SETTINGS:
            for i in range(repeats):
                blocks.append(Bottleneck(channels, out, expansion, stride if i == 0 else 1))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBNPReLU(channels, 512, 1)
        self.pool: nn.Layer = nn.Identity()
        if pooling == "gdc":
            self.pool = nn.Sequential(GlobalDepthwiseConv2D(512, last), nn.BatchNorm2D(512))
        elif pooling == "avg":
            self.pool = nn.AdaptiveAvgPool2D(1)
        self.linear = nn.Conv2D(512, embedding_size, last if pooling == "fc" else 1, weight_attr=kaiming(), bias_attr=False)
        self.norm = nn.BatchNorm2D(embedding_size)
        self.out_channels, self.input_size = [embedding_size], (input_size[0], input_size[1])
        self.any_size, self.map_shape = pooling == "avg", (512, *last)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor | tuple[paddle.Tensor, paddle.Tensor]:
        if not self.any_size:
            check_picture_size("MobileFaceNet", x, self.input_size)
        last = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        embedding = self.norm(self.linear(self.pool(last))).reshape([0, self.out_channels[0]])
        return (embedding, last) if self.keeps_map else embedding


class ConvBNPReLU(nn.Layer):
    """Convolution without bias, batch norm, and PReLU unless `linear`."""

    def __init__(self, channels_in: int, out: int, kernel: int, stride: int = 1, depthwise: bool = False, linear: bool = False):
        super().__init__()
        self.conv = convolution(channels_in, out, kernel, stride, channels_in if depthwise else 1, kaiming())
        self.norm = nn.BatchNorm2D(out)
        self.act: nn.Layer = nn.Identity() if linear else PReLU(out)
        self.slope = 1.0 if linear else None  # a PReLU knows its own

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return norm_act(self.conv(x), self.norm, self.act, self.slope)


class Bottleneck(nn.Layer):
    """Inverted residual, Sandler et al. 2018, https://arxiv.org/abs/1801.04381, table 1: expand, depthwise 3x3, project linearly."""

    def __init__(self, channels_in: int, out: int, expansion: int, stride: int):
        super().__init__()
        middle = channels_in * expansion
        self.expand = ConvBNPReLU(channels_in, middle, 1)
        self.depthwise = ConvBNPReLU(middle, middle, 3, stride, depthwise=True)
        self.project = ConvBNPReLU(middle, out, 1, linear=True)
        self.adds = stride == 1 and channels_in == out

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y
