"""3x3 convolution of tensors on a CPU, with gradients, by Winograd's algorithm: 36 products where the direct one takes 144."""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu import compiler
from ppface.ops.cpu.memory import refuse_second_order, view

TILES_BYTES = 8 << 20  # of the tiles that are multiplied at once: about what stays in a cache
# below, Paddle's operator is faster
LEAST_WORK = 1_500_000  # N * C * O * H * W
LEAST_CHANNELS = 8  # of input and output
LEAST_PIXELS = 392  # N * H * W


@dataclass(frozen=True)
class Algorithm:
    """F(step x step, 3x3).

    Attributes:
        kernels: the module `{kernels}_kernels`.
        step: rows and columns of the output that a tile gives.
        g: the matrix G, (step + 2, 3).
    """

    kernels: str
    step: int
    g: tuple[tuple[float, float, float], ...]

    @functools.cached_property
    def kronecker(self) -> paddle.Tensor:
        """((step + 2)^2, 9): takes the 9 numbers of a weight to those of G weight G^T."""
        g = paddle.to_tensor(self.g, "float32", place=paddle.CPUPlace())
        return paddle.kron(g, g)

    def weight_tiles(self, weight: paddle.Tensor, turned: bool = False) -> paddle.Tensor:
        """G weight G^T as ((step + 2)^2, O, C), of the weight turned by 180 degrees if `turned`."""
        factor = self.kronecker.flip([1]) if turned else self.kronecker
        return paddle.matmul(factor, weight.reshape([-1, 9]), transpose_y=True).reshape([-1, *weight.shape[:2]])


# as exact as the direct convolution
EXACT = Algorithm("winograd", 2, ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)))
# 9 products where EXACT takes 16; rounding errors of 1e-6 of the outputs' deviation, at most 4e-6 of the largest
FAST = Algorithm(
    "winograd_4x4",
    4,
    ((1, 0, 0), (1 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, -1 / 3), (-16 / 15, -8 / 15, -4 / 15), (1 / 15, -2 / 15, 4 / 15), (0, 0, 1)),
)


def supports(x: paddle.Tensor, weight: paddle.Tensor) -> bool:
    """Whether `conv2d_3x3` accepts these and is faster than Paddle's operator."""
    if len(x.shape) != 4 or len(weight.shape) != 4:
        return False
    (batch, channels, *size), (out, of, *kernel) = x.shape, weight.shape
    known = x.dtype == weight.dtype == paddle.float32 and kernel == [3, 3] and channels == of and min(channels, out) >= LEAST_CHANNELS
    pixels = batch * math.prod(size)
    return known and pixels >= LEAST_PIXELS and pixels * channels * out >= LEAST_WORK and compiler.available()


def conv2d_3x3(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    """The convolution with stride 1 and a border of one zero, by FAST where gradients are wanted, else by EXACT.

    Shape:
        (N, C, H, W), (O, C, 3, 3) -> (N, O, H, W)
    """
    if paddle.is_grad_enabled() and not (x.stop_gradient and weight.stop_gradient):
        return Winograd.apply(x, weight)
    return _convolve(x.contiguous(), EXACT.weight_tiles(weight), EXACT)


class Winograd(PyLayer):
    """The operator and both gradients; two runs give the same bytes. Source: see winograd_4x4_kernels."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.wanted = not x.stop_gradient, not weight.stop_gradient
        return _convolve(x, FAST.weight_tiles(weight), FAST)

    @staticmethod
    def backward(ctx: Any, *grads: paddle.Tensor) -> Any:
        refuse_second_order("Winograd")
        (x, weight), grad = ctx.saved_tensor(), grads[0].contiguous()
        # the gradient of x is the convolution of grad with the weights turned by 180 degrees
        of_x = _convolve(grad, FAST.weight_tiles(weight, turned=True), FAST, transpose=True) if ctx.wanted[0] else None
        return of_x, _weight_gradient(x, grad) if ctx.wanted[1] else None


def _convolve(x: paddle.Tensor, weight_tiles: paddle.Tensor, by: Algorithm, transpose: bool = False) -> paddle.Tensor:
    """Of (N, C, H, W) with weight tiles (., O, C), or (., C, O) to transpose."""
    kernels = compiler.load(by.kernels)
    channels = weight_tiles.shape[2 if transpose else 1]
    out = paddle.empty([x.shape[0], channels, *x.shape[2:]], "float32")
    for first, images, count in _parts(x, channels, by):
        tiles = paddle.empty([(by.step + 2) ** 2, x.shape[1], count], "float32")
        kernels.input_tiles(view(x), first, images, _by_rows(tiles, by))
        products = paddle.matmul(weight_tiles, tiles, transpose_x=transpose)  # named: an array does not keep its tensor alive
        kernels.output_pixels(_by_rows(products, by), first, images, view(out))
    return out


def _weight_gradient(x: paddle.Tensor, grad: paddle.Tensor) -> paddle.Tensor:
    kernels = compiler.load(FAST.kernels)
    channels, out = x.shape[1], grad.shape[1]
    total = paddle.zeros([(FAST.step + 2) ** 2, out, channels], "float32")
    for first, images, count in _parts(x, out, FAST):
        tiles, of_tiles = (paddle.empty([total.shape[0], many, count], "float32") for many in (channels, out))
        kernels.input_tiles(view(x), first, images, _by_rows(tiles, FAST))
        kernels.gradient_tiles(view(grad), first, images, _by_rows(of_tiles, FAST))
        total += paddle.matmul(of_tiles, tiles, transpose_y=True)
    return paddle.matmul(total.reshape([total.shape[0], -1]), FAST.kronecker, transpose_x=True).reshape([out, channels, 3, 3])


def _parts(x: paddle.Tensor, channels: int, by: Algorithm) -> Iterator[tuple[int, int, int]]:
    """(first image, number of images, number of tiles) of what is multiplied at once.

    There may be a tile more than the images have: its number is odd, as rows a multiple of 4096 bytes apart would displace each other from
    the cache.
    """
    tiles = -(-x.shape[2] // by.step) * -(-x.shape[3] // by.step)
    most = max(1, TILES_BYTES // ((by.step + 2) ** 2 * 4 * max(x.shape[1], channels) * tiles))
    for first in range(0, x.shape[0], most):
        images = min(most, x.shape[0] - first)
        yield first, images, images * tiles | 1


def _by_rows(tiles: paddle.Tensor, by: Algorithm) -> Any:
    return view(tiles).reshape(by.step + 2, by.step + 2, -1)
