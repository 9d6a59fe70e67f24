"""InsightMobileFaceNet: InsightFace's MobileFaceNet of twice the width, "mbf", and the wider "mbf_large"."""

from typing import Literal

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import GlobalDepthwiseConv2D, PReLU, kaiming
from ppface.nets.layers.norm_act import NormActSequential
from ppface.nets.layers.picture_size import check_picture_size, check_sizes

STRIDE, LAST = 16, 512
SCALES = {"mbf": (2, (1, 4, 6, 2)), "mbf_large": (4, (2, 8, 12, 4))}  # factor on 64 and 128 channels, blocks per stage


@register("backbone")
class InsightMobileFaceNet(nn.Layer):
    """MobileFaceNet, Chen et al. 2018, https://arxiv.org/abs/1804.07573, as in
    https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch (backbones/mobilefacenet.py), and in PLSC.

    It differs from the paper's network: 128 and 256 channels outside the depthwise convolutions, where those have 128 to 512 as before; in
    "mbf" the second convolution has 64 groups of two channels; the embedding follows from a linear layer and batch norm.

    Args:
        variant: "mbf", 2.06 million parameters, or "mbf_large", 6.3 million.
        embedding_size: D.
        input_size: (height, width) in pixels, multiples of 16.

    Shape:
        (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation; with `keeps_map` (that, the last map (N, *map_shape))

    Raises:
        ValueError: an embedding_size below 1, or an input_size that is not a multiple of 16.
        DataError: pictures of another size.
    """

    any_size = keeps_map = False

    def __init__(self, variant: Literal["mbf", "mbf_large"] = "mbf", embedding_size: int = 512, input_size: tuple[int, int] = (112, 112)):
        super().__init__()
        check_sizes("InsightMobileFaceNet", embedding_size, input_size, STRIDE)
        scale, blocks = SCALES[variant]
        narrow, wide = 64 * scale, 128 * scale
        self.layers = nn.LayerList(
            [
                Block(3, narrow, 3, 2),
                Block(narrow, narrow, 3, groups=64) if blocks[0] == 1 else Residuals(narrow, 128, blocks[0]),
                Bottleneck(narrow, 128, narrow, 2),
                Residuals(narrow, 128, blocks[1]),
                Bottleneck(narrow, 256, wide, 2),
                Residuals(wide, 256, blocks[2]),
                Bottleneck(wide, 512, wide, 2),
                Residuals(wide, 256, blocks[3]),
            ]
        )
        self.conv_sep = Block(wide, LAST, 1)
        self.map_shape = (LAST, input_size[0] // STRIDE, input_size[1] // STRIDE)
        self.features = Embedding(self.map_shape[1:], embedding_size)
        self.out_channels, self.input_size = [embedding_size], (input_size[0], input_size[1])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor | tuple[paddle.Tensor, paddle.Tensor]:
        check_picture_size("InsightMobileFaceNet", x, self.input_size)
        for layer in self.layers:
            x = layer(x)
        last = self.conv_sep(x)
        embedding = self.features(last)
        return (embedding, last) if self.keeps_map else embedding


class Block(nn.Layer):
    """Convolution, batch norm, and PReLU unless `linear`."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False):
        super().__init__()
        layers = [convolution(channels, out, kernel, stride, groups, kaiming()), nn.BatchNorm2D(out)]
        self.layers = NormActSequential(*layers, *([] if linear else [PReLU(out)]))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.layers(x)


class Bottleneck(nn.Layer):
    """1x1 to `middle` channels, depthwise 3x3, linear 1x1; plus x if `adds`."""

    def __init__(self, channels: int, middle: int, out: int, stride: int, adds: bool = False):
        super().__init__()
        self.layers = nn.Sequential(
            Block(channels, middle, 1), Block(middle, middle, 3, stride, groups=middle), Block(middle, out, 1, linear=True)
        )
        self.adds = adds

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class Residuals(nn.Layer):
    """`count` bottlenecks with shortcuts."""

    def __init__(self, channels: int, middle: int, count: int):
        super().__init__()
        self.layers = nn.Sequential(*(Bottleneck(channels, middle, channels, 1, adds=True) for _ in range(count)))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.layers(x)


class Embedding(nn.Layer):
    """Global depthwise convolution, batch norm, linear layer without bias, batch norm."""

    def __init__(self, size: tuple[int, int], embedding_size: int):
        super().__init__()
        pool = nn.Layer()
        pool.layers = nn.Sequential(GlobalDepthwiseConv2D(LAST, size), nn.BatchNorm2D(LAST))
        linear = nn.Linear(LAST, embedding_size, bias_attr=False)
        self.layers = nn.Sequential(pool, nn.Flatten(), linear, nn.BatchNorm1D(embedding_size))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        pool, *rest = self.layers
        x = pool.layers(x)
        for layer in rest:
            x = layer(x)
        return x
