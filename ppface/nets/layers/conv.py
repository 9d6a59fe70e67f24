"""Convolutions that are fast where a network trains or runs eagerly on a CPU."""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.nets.layers.fast import eager_on_cpu
from ppface.ops.cpu import depthwise, winograd


class DepthwiseConv2D(nn.Conv2D):
    """One K x K kernel a channel, Chollet 2017, https://arxiv.org/abs/1610.02357, section 2; without bias.

    Has the parameter names and initialisation of Paddle's layer. Eagerly on a CPU it runs Numba kernels, in a tenth of the time; in static
    graphs, on GPUs and for inputs that `supports` rejects, Paddle's operator.

    Args:
        channels: of input and output.
        kernel_size: K.
        stride: of rows and columns.
        padding: zeros on all four sides.
        weight_attr: how the weight starts and learns.

    Shape:
        (N, C, H, W) -> (N, C, (H + 2 * padding - K) // stride + 1, (W + 2 * padding - K) // stride + 1)
    """

    def __init__(self, channels: int, kernel_size: int, stride: int, padding: int, weight_attr: paddle.ParamAttr):
        super().__init__(channels, channels, kernel_size, stride, padding, groups=channels, weight_attr=weight_attr, bias_attr=False)
        self.window = stride, (padding, padding)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        stride, padding = self.window
        if eager_on_cpu(x) and depthwise.supports(x, self.weight, stride, padding):
            return depthwise.depthwise_conv2d(x, self.weight, stride, padding)
        return super().forward(x)


class Conv3x3(nn.Conv2D):
    """A 3x3 convolution with stride 1, one zero on all four sides and no bias.

    Has the parameter names and initialisation of Paddle's layer, and is computed by `convolved`.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, weight_attr: paddle.ParamAttr):
        super().__init__(in_channels, out_channels, 3, padding=1, weight_attr=weight_attr, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return convolved(x, self.weight)


def convolved(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None = None) -> paddle.Tensor:
    """A convolution with stride 1 and zeros outside that keeps the size. Eagerly on a CPU one of 3x3 runs Winograd's algorithm, in half of
    the time; in static graphs, on GPUs and for inputs that `supports` rejects it is Paddle's operator.

    Shape:
        (N, in_channels, H, W), (out_channels, in_channels, K, K), (out_channels,) -> (N, out_channels, H, W), K odd
    """
    if eager_on_cpu(x) and winograd.supports(x, weight):
        out = winograd.conv2d_3x3(x, weight)
        return out if bias is None else out + bias.reshape([1, -1, 1, 1])
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def convolution(channels_in: int, out: int, kernel: int, stride: int, groups: int, weight_attr: paddle.ParamAttr) -> nn.Conv2D:
    """A convolution without bias whose padding keeps the size at stride 1, depthwise if every channel is its own group."""
    if groups == channels_in == out:
        return DepthwiseConv2D(channels_in, kernel, stride, kernel // 2, weight_attr)
    if (kernel, stride, groups) == (3, 1, 1):
        return Conv3x3(channels_in, out, weight_attr)
    return nn.Conv2D(channels_in, out, kernel, stride, kernel // 2, groups=groups, weight_attr=weight_attr, bias_attr=False)
