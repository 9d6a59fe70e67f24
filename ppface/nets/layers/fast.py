"""Layers that compute the same as Paddle's, faster on CPUs: PReLU, global depthwise convolution, max pooling; and Whiten.

Each keeps the parameter names of Paddle's layer and uses the fast form where it runs eagerly on a CPU; static graphs, which oneDNN runs,
and GPUs use Paddle's operator.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.ops.cpu.max_pool import max_pool2x2, supports


def eager_on_cpu(x: paddle.Tensor) -> bool:
    """Whether the fast forms apply."""
    return paddle.in_dynamic_mode() and x.place.is_cpu_place()


class PReLU(nn.PReLU):
    """max(x, 0) + a_c * min(x, 0) for each channel c, He et al. 2015, https://arxiv.org/abs/1502.01852, equation 1.

    Paddle's kernel computes the channel index of every single number; whole planes, one row each, take a third of the time.

    Args:
        channels: number of slopes; 1 for one slope that all channels share.

    Shape:
        (N, C, H, W) -> (N, C, H, W)
    """

    def __init__(self, channels: int):
        super().__init__(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not eager_on_cpu(x):
            return super().forward(x)
        planes = x.reshape([x.shape[0] * x.shape[1], -1])
        slope = self._weight if self._weight.size == 1 else self._weight.tile([x.shape[0]]).unsqueeze(1)
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
    """Batch norm of an (N, D) embedding whose weight, of ones, and bias, of zeros, are never trained.

    oneDNN crashes on exported batch norms without them. They are saved and loaded, as Paddle 2 did where `weight_attr=False`; files of
    Paddle 3 and of PyTorch's `affine=False` lack them.

    Shape:
        (N, D) -> (N, D)
    """

    optional_names = ("weight", "bias")

    def __init__(self, size: int, momentum: float = 0.9, epsilon: float = 1e-5):
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.register_buffer("_mean", paddle.zeros([size]))
        self.register_buffer("_variance", paddle.ones([size]))
        self.register_buffer("weight", paddle.ones([size]))
        self.register_buffer("bias", paddle.zeros([size]))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        arrays = self._mean, self._variance, self.weight, self.bias
        return F.batch_norm(x, *arrays, training=self.training, momentum=self.momentum, epsilon=self.epsilon)


def max_pool(x: paddle.Tensor) -> paddle.Tensor:
    """The largest of every 2x2 pixels, one or two where a side is odd: the sizes of a convolution with stride 2.

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))
    """
    if eager_on_cpu(x) and supports(x):
        return max_pool2x2(x)
    return F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=True)


def kaiming() -> paddle.ParamAttr:
    """Kaiming-normal by fan-in."""
    return paddle.ParamAttr(initializer=nn.initializer.KaimingNormal())
