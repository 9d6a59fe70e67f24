"""Input normalisation on CPUs: from uint8 pixels to float32 in one pass, with the same bits as cast, subtraction and division."""

import functools
from collections.abc import Callable

import paddle

from ppface.ops.cpu.compiled import READ, WRITE, compiled, view


def normalize(image: paddle.Tensor, mean: paddle.Tensor, std: paddle.Tensor) -> paddle.Tensor:
    """(image - mean) / std for each channel, without gradient.

    Shape:
        (N, C, H, W) uint8, not empty, (C,), (C,) -> (N, C, H, W) float32
    """
    image = image.contiguous()
    out = paddle.empty(image.shape, "float32")
    _kernel()(view(image), view(mean), view(std), view(out))
    return out


@functools.cache
def _kernel() -> Callable:
    def kernel(image, mean, std, out):
        for n in range(image.shape[0]):
            for c in range(image.shape[1]):
                for y in range(image.shape[2]):
                    source, target, shift, scale = image[n, c, y], out[n, c, y], mean[c], std[c]
                    for i in range(source.size):
                        target[i] = (source[i] - shift) / scale

    numbers = ("float32", 1, READ)
    return compiled(kernel, ("uint8", 4, READ), numbers, numbers, ("float32", 4, WRITE), fast=False)
