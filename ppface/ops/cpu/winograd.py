"""3x3 convolution of tensors on a CPU, with gradients, by Winograd's algorithm: 16 products where the direct one takes 36."""

import functools
from collections.abc import Iterator
from typing import Any

import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu import compiler
from ppface.ops.cpu.memory import refuse_second_order, view

TILES_BYTES = 8 << 20  # of the tiles that are multiplied at once: about what stays in a cache
LEAST_WORK = 12_000_000  # N * C * O * H * W; below, Paddle's operator is faster
G = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]


def supports(x: paddle.Tensor, weight: paddle.Tensor) -> bool:
    """Whether `conv2d_3x3` accepts these and is faster than Paddle's operator."""
    known = x.dtype == weight.dtype == paddle.float32 and weight.shape[2:] == [3, 3] and x.shape[1] == weight.shape[1]
    return known and x.size * weight.shape[0] >= LEAST_WORK and compiler.available()


def conv2d_3x3(x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    """The convolution with stride 1 and a border of one zero; as exact as the direct one to about a rounding error.

    Shape:
        (N, C, H, W), (O, C, 3, 3) -> (N, O, H, W)
    """
    return Winograd.apply(x, weight)


class Winograd(PyLayer):
    """The operator and both gradients; two runs give the same bytes. Source: see winograd_kernels."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.wanted = not x.stop_gradient, not weight.stop_gradient
        return _convolve(x, _weight_tiles(weight), transpose=False)

    @staticmethod
    def backward(ctx: Any, *grads: paddle.Tensor) -> Any:
        refuse_second_order("Winograd")
        (x, weight), grad = ctx.saved_tensor(), grads[0].contiguous()
        # the gradient of x is the convolution of grad with the weights turned by 180 degrees
        of_x = _convolve(grad, _weight_tiles(weight, turned=True), transpose=True) if ctx.wanted[0] else None
        return of_x, _weight_gradient(x, grad) if ctx.wanted[1] else None


def _weight_tiles(weight: paddle.Tensor, turned: bool = False) -> paddle.Tensor:
    """G weight G^T as (16, O, C)."""
    factor = _kronecker().flip([1]) if turned else _kronecker()
    return paddle.matmul(factor, weight.reshape([-1, 9]), transpose_y=True).reshape([16, *weight.shape[:2]])


@functools.cache
def _kronecker() -> paddle.Tensor:
    """(16, 9): takes the 9 numbers of a weight to the 16 of G weight G^T."""
    g = paddle.to_tensor(G, "float32", place=paddle.CPUPlace())
    return paddle.kron(g, g)


def _convolve(x: paddle.Tensor, weight_tiles: paddle.Tensor, transpose: bool) -> paddle.Tensor:
    """Of (N, C, H, W) with weight tiles (16, O, C), or (16, C, O) to transpose."""
    kernels = compiler.load("winograd")
    channels = weight_tiles.shape[2 if transpose else 1]
    out = paddle.empty([x.shape[0], channels, *x.shape[2:]], "float32")
    for first, count in _parts(x, channels):
        tiles = paddle.empty([16, x.shape[1], count], "float32")
        kernels.input_tiles(view(x), first, _by_rows(tiles))
        products = paddle.matmul(weight_tiles, tiles, transpose_x=transpose)  # named: an array does not keep its tensor alive
        kernels.output_pixels(_by_rows(products), first, view(out))
    return out


def _weight_gradient(x: paddle.Tensor, grad: paddle.Tensor) -> paddle.Tensor:
    kernels = compiler.load("winograd")
    channels, out = x.shape[1], grad.shape[1]
    total = paddle.zeros([16, out, channels], "float32")
    for first, count in _parts(x, out):
        tiles, of_tiles = paddle.empty([16, channels, count], "float32"), paddle.empty([16, out, count], "float32")
        kernels.input_tiles(view(x), first, _by_rows(tiles))
        kernels.gradient_tiles(view(grad), first, _by_rows(of_tiles))
        total += paddle.matmul(of_tiles, tiles, transpose_y=True)
    return paddle.matmul(total.reshape([16, -1]), _kronecker(), transpose_x=True).reshape([out, channels, 3, 3])


def _parts(x: paddle.Tensor, channels: int) -> Iterator[tuple[int, int]]:
    """(first image, number of tiles) of the images that are multiplied at once.

    The number is odd: rows a multiple of 4096 bytes apart would displace each other from the cache.
    """
    tiles = -(-x.shape[2] // 2) * -(-x.shape[3] // 2)
    images = max(1, TILES_BYTES // (16 * 4 * max(x.shape[1], channels) * tiles))
    for first in range(0, x.shape[0], images):
        yield first, min(images, x.shape[0] - first) * tiles | 1


def _by_rows(tiles: paddle.Tensor) -> Any:
    return view(tiles).reshape(4, 4, *tiles.shape[1:])
