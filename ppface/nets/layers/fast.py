"""Layers that compute the same as Paddle's, faster on CPUs: PReLU and depthwise convolutions; and batch norm of frozen weights.

Each keeps the parameter names of Paddle's layer and takes the fast form where it trains or runs eagerly on a CPU; a static graph, which
oneDNN runs, and GPUs get Paddle's own operator.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.ops.cpu.compiled import available
from ppface.ops.cpu.depthwise import depthwise_conv2d, supported
from ppface.ops.cpu.prelu import prelu


def eager_on_cpu(x: paddle.Tensor) -> bool:
    """Whether the fast forms apply."""
    return paddle.in_dynamic_mode() and x.place.is_cpu_place()


def compiles(x: paddle.Tensor) -> bool:
    """Whether kernels in Numba apply: eager, float32 on a CPU, not empty, and Numba is installed."""
    return eager_on_cpu(x) and x.dtype == paddle.float32 and x.size > 0 and available()


class DepthwiseConv2D(nn.Conv2D):
    """Convolution with one kernel a channel, without bias; the padding keeps the size at stride 1. Howard et al. 2017,
    https://arxiv.org/abs/1704.04861, section 3.1.

    Args:
        channels: of input and output.
        kernel_size: odd; 3, 5 and 7 are fast.
        stride: 1 or more; 1 and 2 are fast.
        weight_attr: of the weight; None: Kaiming-normal.

    Shape:
        (N, channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, weight_attr: paddle.ParamAttr | None = None):
        attr = weight_attr or kaiming()
        super().__init__(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, weight_attr=attr, bias_attr=False)
        self.step, self.border = stride, kernel_size // 2

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if compiles(x) and supported(self.weight, self.step):
            return depthwise_conv2d(x, self.weight, self.step, self.border)
        return super().forward(x)


class PReLU(nn.PReLU):
    """max(x, 0) + a_c * min(x, 0) for each channel c, He et al. 2015, https://arxiv.org/abs/1502.01852, equation 1.

    Paddle's kernel computes the channel index of every single number; a kernel in Numba takes a tenth of the time, and without Numba
    whole planes, one row each, take a third.

    Shape:
        (N, C, H, W) -> (N, C, H, W)
    """

    def __init__(self, channels: int):
        super().__init__(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not eager_on_cpu(x):
            return super().forward(x)
        if compiles(x):
            return prelu(x, self._weight)
        planes = x.reshape([x.shape[0] * x.shape[1], -1])
        slope = self._weight.tile([x.shape[0]]).unsqueeze(1)
        above = F.relu(planes)
        return (above + (planes - above) * slope).reshape(x.shape)


class GlobalDepthwiseConv2D(nn.Conv2D):
    """One weight a pixel and channel over the whole map: the global depthwise convolution of MobileFaceNets,
    Chen et al. 2018, https://arxiv.org/abs/1804.07573, equation 1.

    Written as one small matrix product a channel, which takes a seventh of the convolution's time.

    Args:
        channels: of input and output.
        size: (height, width) of the map.

    Shape:
        (N, C, *size) -> (N, C, 1, 1)

    Raises:
        ValueError: a map of another size.
    """

    def __init__(self, channels: int, size: tuple[int, int]):
        super().__init__(channels, channels, size, groups=channels, weight_attr=kaiming(), bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if paddle.in_dynamic_mode() and x.shape[2:] != self.weight.shape[2:]:
            raise ValueError(f"GlobalDepthwiseConv2D: expected a map of {list(self.weight.shape[2:])}, received {list(x.shape[2:])}")
        if not eager_on_cpu(x):
            return super().forward(x)
        channels = x.shape[1]
        return paddle.matmul(x.reshape([0, channels, 1, -1]), self.weight.reshape([1, channels, -1, 1]))


class Whiten(nn.Layer):
    """Batch norm of an (N, D) embedding whose weight, of ones, and bias, of zeros, are never trained; eps 1e-5, momentum 0.9.

    They are saved and loaded, as Paddle 2 did where `weight_attr=False`; files of Paddle 3 and of PyTorch's `affine=False` lack them.

    Shape:
        (N, D) -> (N, D)
    """

    optional_names = ("weight", "bias")

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("_mean", paddle.zeros([size]))
        self.register_buffer("_variance", paddle.ones([size]))
        self.register_buffer("weight", paddle.ones([size]))
        self.register_buffer("bias", paddle.zeros([size]))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.batch_norm(x, self._mean, self._variance, self.weight, self.bias, training=self.training, momentum=0.9, epsilon=1e-5)


def kaiming() -> paddle.ParamAttr:
    """Kaiming-normal by fan-in."""
    return paddle.ParamAttr(initializer=nn.initializer.KaimingNormal())
