"""VarGFaceNet: a light network of group convolutions with a fixed number of channels in a group."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.channel_means import channel_means
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import PReLU, kaiming
from ppface.nets.layers.norm_act import NormActSequential
from ppface.nets.layers.picture_size import check_picture_size, check_sizes

GROUP, REDUCTION, STRIDE = 8, 4, 16
STEM, STAGES, LAST = 40, ((80, 3), (160, 7), (320, 4)), 1024  # channels; channels and units of a stage; channels of the last map
Variant = Literal["paper", "listing"]


@register("backbone")
class VarGFaceNet(nn.Layer):
    """VarGFaceNet, Yan et al. 2019, https://arxiv.org/abs/1910.04985, table 1 and figure 1, as in https://github.com/zma-c-137/VarGFaceNet.

    The PyTorch listing of it that several ports repeat is another network: there the 1x1 convolutions are grouped too; one PReLU slope
    serves all channels; ReLU6 is in the stem and, instead of PReLU and sigmoid, in the squeeze-and-excitation; in the first unit of a stage
    PReLU is in the two branches instead of behind their sum; the head has neither squeeze-and-excitation nor a last activation; behind the
    last 7x6 convolution there is no batch norm.

    Args:
        variant: "paper", 5.2 million parameters, or "listing", 2.1 million.
        embedding_size: D.
        input_size: (height, width) in pixels, multiples of 16; None: 112x112, and 112x96 for the listing.

    Shape:
        (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation

    Raises:
        ValueError: an embedding_size below 1, or an input_size that is not a multiple of 16.
        DataError: pictures of another size.
    """

    any_size = False

    def __init__(self, variant: Variant = "paper", embedding_size: int = 512, input_size: tuple[int, int] | None = None):
        super().__init__()
        height, width = input_size or (112, 112 if variant == "paper" else 96)
        self.input_size = (height, width)
        check_sizes("VarGFaceNet", embedding_size, self.input_size, STRIDE)
        paper = variant == "paper"
        act = _prelu(STEM, variant) if paper else nn.ReLU6()
        self.stem = NormActSequential(convolution(3, STEM, 3, 1, 1, kaiming()), _norm(STEM, variant), act)
        self.head = Unit(STEM, variant, factor=1, stride=2, squeeze=paper, act=paper)
        channels = STEM
        for stage, (out, units) in enumerate(STAGES, 2):
            layers = [MergeUnit(channels, out, variant), *(Unit(out, variant) for _ in range(units - 1))]
            self.add_sublayer(f"stage{stage}", nn.Sequential(*layers))
            channels = out
        last = (self.input_size[0] // STRIDE, self.input_size[1] // STRIDE)
        self.embedding = PaperEmbedding(channels, last, embedding_size) if paper else ListingEmbedding(channels, last, embedding_size)
        self.out_channels = [embedding_size]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        check_picture_size("VarGFaceNet", x, self.input_size)
        return self.embedding(self.stage4(self.stage3(self.stage2(self.head(self.stem(x))))))


class Separable(nn.Sequential):
    """A 3x3 convolution of `factor` times the channels with 8 input channels a group, then a 1x1 convolution; batch norm behind both,
    PReLU behind the first and, if `act`, behind the second."""

    def __init__(self, channels: int, out: int, variant: Variant, factor: int = 2, stride: int = 1, act: bool = False):
        middle = channels * factor
        wide = convolution(channels, middle, 3, stride, channels // GROUP, kaiming())
        narrow = convolution(middle, out, 1, 1, 1 if variant == "paper" else middle // GROUP, kaiming())
        super().__init__(
            NormActSequential(wide, _norm(middle, variant), _prelu(middle, variant)),
            NormActSequential(narrow, _norm(out, variant), *([_prelu(out, variant)] if act else [])),
        )


class Unit(nn.Layer):
    """x + squeeze-and-excitation of two separable convolutions, then PReLU; with a stride, the shortcut is one such convolution."""

    def __init__(self, channels: int, variant: Variant, factor: int = 2, stride: int = 1, squeeze: bool = True, act: bool = True):
        super().__init__()
        self.first = Separable(channels, channels, variant, factor, stride, act=True)
        self.second = Separable(channels, channels, variant, factor)
        self.shortcut = Separable(channels, channels, variant, factor, stride) if stride > 1 else nn.Identity()
        self.se = SqueezeExcite(channels, variant) if squeeze else nn.Identity()
        self.act = _prelu(channels, variant) if act else nn.Identity()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.shortcut(x) + self.se(self.second(self.first(x))))


class MergeUnit(nn.Layer):
    """The first unit of a stage, with stride 2: the sum of two branches, one more separable convolution, and a shortcut: figure 1, c."""

    def __init__(self, channels: int, out: int, variant: Variant):
        super().__init__()
        branches = variant == "listing"  # where the activations are
        self.branch1 = Separable(channels, out, variant, stride=2, act=branches)
        self.branch2 = Separable(channels, out, variant, stride=2, act=branches)
        self.merged = nn.Identity() if branches else _prelu(out, variant)
        self.second = Separable(out, out, variant)
        self.shortcut = Separable(channels, out, variant, stride=2)
        self.act = _prelu(out, variant)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        merged = self.merged(self.branch1(x) + self.branch2(x))
        return self.act(self.shortcut(x) + self.second(merged))


class SqueezeExcite(nn.Layer):
    """x times a gate for each channel, from its means, Hu et al. 2018, https://arxiv.org/abs/1709.01507; the listing's gate is in 0..6."""

    def __init__(self, channels: int, variant: Variant):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, channels // REDUCTION), nn.Linear(channels // REDUCTION, channels)
        self.act = PReLU(channels // REDUCTION) if variant == "paper" else nn.ReLU6()
        self.gate = F.sigmoid if variant == "paper" else F.relu6

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        squeezed = self.fc1(channel_means(x).flatten(1)).unsqueeze([2, 3])
        return x * self.gate(self.fc2(self.act(squeezed).flatten(1))).unsqueeze([2, 3])


class PaperEmbedding(nn.Layer):
    """1x1 to 1024 channels, a convolution over the whole map with 8 channels a group, 1x1 to 512, linear layer, batch norm."""

    def __init__(self, channels: int, size: tuple[int, int], embedding_size: int):
        super().__init__()
        self.convx = NormActSequential(convolution(channels, LAST, 1, 1, 1, kaiming()), _norm(LAST, "paper"), PReLU(LAST))
        self.whole = nn.Sequential(_whole(size), _norm(LAST, "paper"))
        self.point = NormActSequential(convolution(LAST, LAST // 2, 1, 1, 1, kaiming()), _norm(LAST // 2, "paper"), PReLU(LAST // 2))
        self.fc = nn.Linear(LAST // 2, embedding_size)
        self.norm = nn.BatchNorm1D(embedding_size, epsilon=2e-5)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.fc(self.point(self.whole(self.convx(x))).flatten(1)))


class ListingEmbedding(nn.Layer):
    """1x1 to 1024 channels, a convolution over the whole map with 8 channels a group, 1x1 to 512 with 2 channels a group, linear layer."""

    def __init__(self, channels: int, size: tuple[int, int], embedding_size: int):
        super().__init__()
        self.convx = nn.Sequential(convolution(channels, LAST, 1, 1, 1, kaiming()), nn.BatchNorm2D(LAST), nn.ReLU6())
        self.whole = _whole(size)
        self.point = convolution(LAST, LAST // 2, 1, 1, LAST // 2, kaiming())
        self.fc = nn.Linear(LAST // 2, embedding_size)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.point(self.whole(self.convx(x))).flatten(1))


def _whole(size: tuple[int, int]) -> nn.Conv2D:
    return nn.Conv2D(LAST, LAST, size, groups=LAST // GROUP, weight_attr=kaiming(), bias_attr=False)


def _norm(channels: int, variant: Variant) -> nn.BatchNorm2D:
    return nn.BatchNorm2D(channels, epsilon=2e-5 if variant == "paper" else 1e-5)


def _prelu(channels: int, variant: Variant) -> PReLU:
    return PReLU(channels if variant == "paper" else 1)
