"""Building blocks shared by the networks."""

from collections.abc import Callable
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.nets.layers.conv import convolution
from ppface.nets.layers.norm_act import norm_act

Act = Literal["relu", "relu6", "hard_swish", "leaky", "leaky_0.1"]

ACTIVATIONS: dict[str | None, Callable[[paddle.Tensor], paddle.Tensor]] = {
    None: lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "hard_swish": F.hardswish,
    # not F.leaky_relu: oneDNN's fusion of convolution and leaky_relu crashes paddle.inference 3.3
    "leaky": lambda x: paddle.maximum(x, 0.01 * x),
    "leaky_0.1": lambda x: paddle.maximum(x, 0.1 * x),
}
SLOPES: dict[str | None, float] = {None: 1.0, "relu": 0.0, "leaky": 0.01, "leaky_0.1": 0.1}  # of negative numbers


class ConvBN(nn.Layer):
    """Convolution without bias, batch norm (eps 1e-5, momentum 0.9), activation; weights start Kaiming-normal by fan-in.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the padding keeps the size at stride 1.
        stride: 1 or more.
        groups: `in_channels` makes the convolution depthwise.
        act: the activation, None for none; "leaky" has slope 0.01, "leaky_0.1" 0.1.
        conv_lr: factor on the learning rate of the convolution's weight, > 0.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))
    """

    published_names = ((r"\._conv\.", ".conv."), (r"\._batch_norm\.", ".norm."))  # PaddleDetection -> ppface

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        act: Act | None = "relu",
        conv_lr: float = 1.0,
    ):
        super().__init__()
        weight = paddle.ParamAttr(learning_rate=conv_lr, initializer=nn.initializer.KaimingNormal())
        self.conv = convolution(in_channels, out_channels, kernel_size, stride, groups, weight)
        self.norm = nn.BatchNorm2D(out_channels)
        self.act, self.slope = ACTIVATIONS[act], SLOPES.get(act)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return norm_act(self.conv(x), self.norm, self.act, self.slope)
