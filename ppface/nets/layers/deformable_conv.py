"""Deformable 3x3 convolution with batch norm."""

from collections.abc import Callable

import paddle
from paddle import nn
from paddle.vision.ops import DeformConv2D

from ppface.nets.layers import ACTIVATIONS, Act
from ppface.nets.layers.fast import kaiming


class DeformableConvBN(nn.Layer):
    """A 3x3 convolution that reads every one of its nine numbers at a learned offset, batch norm, activation.

    Source: Dai et al. 2017, https://arxiv.org/abs/1703.06211, section 2.1. The offsets come from a 3x3 convolution that starts at zero, so
    an untrained one is an ordinary convolution.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, act: Act):
        super().__init__()
        zero = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
        self.offsets = nn.Conv2D(in_channels, 2 * 9, 3, padding=1, weight_attr=zero)
        self.conv = DeformConv2D(in_channels, out_channels, 3, padding=1, weight_attr=kaiming(), bias_attr=False)
        self.norm = nn.BatchNorm2D(out_channels)
        self.act: Callable[[paddle.Tensor], paddle.Tensor] = ACTIVATIONS[act]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.act(self.norm(self.conv(x, self.offsets(x))))
