"""Input normalisation on a CPU: uint8 pixels to float32 in one pass instead of three."""

import ctypes

import numpy as np
import paddle

from ppface.ops.cpu import compiler
from ppface.ops.cpu.memory import view


def supports(image: paddle.Tensor) -> bool:
    """Whether `standardize` accepts it."""
    return image.dtype == paddle.uint8 and image.size > 0 and image.is_contiguous() and compiler.available()


def standardize(image: paddle.Tensor, mean: paddle.Tensor, std: paddle.Tensor, reverse: bool = False) -> paddle.Tensor:
    """(image - mean) / std, without gradient; with `reverse` the last channel first.

    Shape:
        (N, C, H, W) uint8, (1, C, 1, 1), (1, C, 1, 1) -> (N, C, H, W) float32
    """
    out = paddle.empty(image.shape, "float32")
    planes = (*image.shape[:2], -1)
    pixels = np.ctypeslib.as_array((ctypes.c_uint8 * image.size).from_address(image.data_ptr())).reshape(planes)
    channels = np.arange(image.shape[1])[:: -1 if reverse else 1].copy()
    kernel = compiler.load("standardize").standardize
    kernel(pixels, view(mean).reshape(-1), view(std).reshape(-1), channels, view(out).reshape(planes))
    return out
