"""BlazeNet: the lightweight backbone of BlazeFace, single and double blocks of 5x5 depthwise convolutions."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers import Act, ConvBN
from ppface.nets.layers.fast import max_pool


@register("backbone")
class BlazeNet(nn.Layer):
    """Backbone of BlazeFace, Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047, figure 2 and table 4, in PaddleDetection's variant:
    batch norm after every convolution, and a 1x1 convolution on a shortcut that changes size.

    Returns one feature map per resolution of the double blocks, the output of the last block of that resolution: strides 8 and 16 with
    the published filters.

    Args:
        blaze_filters: one entry per single block, [in, out] or [in, out, stride].
        double_blaze_filters: one entry per double block, [in, mid, out] or [in, mid, out, stride].
        act: activation after the first 1x1 convolution of every double block; all others are ReLU.
        use_5x5kernel: False replaces every depthwise 5x5 by two depthwise 3x3.
        stem_kernel: kernel size of the first convolution; 3 in PaddleDetection, 5 in the paper.
        conv_lr: factor on the learning rate of all convolution weights; 0.1 in PaddleDetection's recipe.

    Shape:
        (N, 3, H, W) -> list of (N, out_channels[i], ceil(H / strides[i]), ceil(W / strides[i]))

    Raises:
        ValueError: an entry of the wrong length, with a stride other than 1 or 2, or whose `in` is not the `out` of the entry before it,
            or a block of stride 1 with `in` other than `out`.
    """

    published_names = (  # PaddleDetection -> ppface
        (r"^backbone\.conv1\.", "backbone.stem."),
        (r"^backbone\.blaze_(\d+)\.", r"backbone.single_blocks.\1."),
        (r"^backbone\.double_blaze_(\d+)\.", r"backbone.double_blocks.\1."),
        (r"\.(?:double_)?blaze_\d+([12])_dw(?:_1)?\.", r".dw\1.0."),
        (r"\.(?:double_)?blaze_\d+([12])_dw_2\.", r".dw\1.1."),
        (r"\.(?:double_)?blaze_\d+_shortcut_conv\.", ".shortcut."),
        (r"\.conv_pw\.", ".pw1."),
        (r"\.conv_pw2\.", ".pw2."),
    )

    def __init__(
        self,
        blaze_filters: list[list[int]],
        double_blaze_filters: list[list[int]],
        act: Literal["relu", "hard_swish"] = "relu",
        use_5x5kernel: bool = True,
        stem_kernel: Literal[3, 5] = 3,
        conv_lr: float = 1.0,
    ):
        super().__init__()
        singles = _blocks(blaze_filters, "blaze_filters", ["in", "out"], None)
        doubles = _blocks(double_blaze_filters, "double_blaze_filters", ["in", "mid", "out"], singles[-1][1])
        kernels = (5,) if use_5x5kernel else (3, 3)
        self.stem = ConvBN(3, singles[0][0], stem_kernel, stride=2, conv_lr=conv_lr)
        self.single_blocks, self.double_blocks = nn.LayerList(), nn.LayerList()
        total = 2
        for channels_in, out, stride in singles:
            self.single_blocks.append(SingleBlock(channels_in, out, stride, kernels, conv_lr))
            total *= stride
        self.out_channels: list[int] = []
        self.strides: list[int] = []
        self.is_output: list[bool] = []  # whether the output of this double block is returned
        for i, (channels_in, mid, out, stride) in enumerate(doubles):
            self.double_blocks.append(DoubleBlock(channels_in, mid, out, stride, kernels, act, conv_lr))
            total *= stride
            self.is_output.append(i + 1 == len(doubles) or doubles[i + 1][3] == 2)
            if self.is_output[-1]:
                self.out_channels.append(out)
                self.strides.append(total)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        for block in self.single_blocks:
            x = block(x)
        features = []
        for i, block in enumerate(self.double_blocks):
            x = block(x)
            if self.is_output[i]:
                features.append(x)
        return features


class SingleBlock(nn.Layer):
    """Depthwise (ReLU), 1x1 without activation, plus the shortcut, ReLU: figure 1, left."""

    def __init__(self, channels_in: int, out: int, stride: int, kernels: tuple[int, ...], conv_lr: float):
        super().__init__()
        self.dw1 = _depthwise(channels_in, kernels, stride, conv_lr)
        self.pw1 = ConvBN(channels_in, out, 1, act=None, conv_lr=conv_lr)
        self.shortcut = ConvBN(channels_in, out, 1, conv_lr=conv_lr) if stride == 2 else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(_shortcut(self, x) + self.pw1(self.dw1(x)))


class DoubleBlock(nn.Layer):
    """Depthwise (ReLU), 1x1 (`act`), depthwise (ReLU), 1x1 (ReLU), plus the shortcut, ReLU: figure 1, right."""

    def __init__(self, channels_in: int, mid: int, out: int, stride: int, kernels: tuple[int, ...], act: Act, conv_lr: float):
        super().__init__()
        self.dw1 = _depthwise(channels_in, kernels, stride, conv_lr)
        self.pw1 = ConvBN(channels_in, mid, 1, act=act, conv_lr=conv_lr)
        self.dw2 = _depthwise(mid, kernels, 1, conv_lr)
        self.pw2 = ConvBN(mid, out, 1, conv_lr=conv_lr)
        self.shortcut = ConvBN(channels_in, out, 1, conv_lr=conv_lr) if stride == 2 else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(_shortcut(self, x) + self.pw2(self.dw2(self.pw1(self.dw1(x)))))


def _depthwise(channels: int, kernels: tuple[int, ...], stride: int, conv_lr: float) -> nn.Sequential:
    """One depthwise convolution per kernel; the last one has the stride."""
    strides = (1,) * (len(kernels) - 1) + (stride,)
    layers = [ConvBN(channels, channels, k, s, groups=channels, conv_lr=conv_lr) for k, s in zip(kernels, strides, strict=True)]
    return nn.Sequential(*layers)


def _shortcut(block: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    if block.shortcut is None:
        return x
    return block.shortcut(max_pool(x))


def _blocks(filters: list[list[int]], argument: str, fields: list[str], last: int | None) -> list[list[int]]:
    """Validates a list of blocks, whose first input has `last` channels, and adds the default stride 1."""
    if not filters:
        raise ValueError(f"BlazeNet: expected at least one block in {argument}, received []")
    blocks = []
    for i, entry in enumerate(filters):
        where = f"BlazeNet: {argument}[{i}]: expected"
        if len(entry) - len(fields) not in (0, 1) or min(entry) < 1:
            raise ValueError(f"{where} [{', '.join(fields)}] or [{', '.join(fields)}, stride], each at least 1, received {entry}")
        *channels, stride = entry if len(entry) > len(fields) else [*entry, 1]
        if stride not in (1, 2):
            raise ValueError(f"{where} stride 1 or 2, received {entry}")
        if last is not None and channels[0] != last:
            raise ValueError(f"{where} in={last}, the channels of the block before it, received {entry}")
        if stride == 1 and channels[-1] != channels[0]:
            raise ValueError(f"{where} out={channels[0]} as stride 1 adds the input to the output, received {entry}")
        last = channels[-1]
        blocks.append([*channels, stride])
    return blocks
