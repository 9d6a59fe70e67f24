"""PReLU on CPUs: forward pass and both gradients, each in one pass over the numbers."""

import functools
from collections.abc import Callable

import numpy as np
import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu.compiled import READ, WRITE, compiled, view

_IN, _OUT, _SLOPE, _BY_SLOPE = ("float32", 3, READ), ("float32", 3, WRITE), ("float32", 1, READ), ("float32", 1, WRITE)


def prelu(x: paddle.Tensor, slope: paddle.Tensor) -> paddle.Tensor:
    """max(x, 0) + slope * min(x, 0) with a slope for each channel; float32, not empty.

    Shape:
        (N, C, ...), (C,) -> (N, C, ...)
    """
    return _PReLU.apply(x, slope)


class _PReLU(PyLayer):
    @staticmethod
    def forward(ctx, x, slope):
        x = x.contiguous()
        ctx.save_for_backward(x, slope)
        ctx.wanted = not x.stop_gradient, not slope.stop_gradient
        out = paddle.empty_like(x)
        _forward()(_planes(x), view(slope), _planes(out))
        return out

    @staticmethod
    def backward(ctx, grad):
        x, slope = ctx.saved_tensor()
        by_x, by_slope = paddle.empty_like(x), paddle.empty_like(slope)
        _backward()(_planes(grad.contiguous()), _planes(x), view(slope), _planes(by_x), view(by_slope))
        return by_x if ctx.wanted[0] else None, by_slope if ctx.wanted[1] else None


def _planes(x: paddle.Tensor) -> np.ndarray:
    return view(x).reshape(x.shape[0], x.shape[1], -1)


@functools.cache
def _forward() -> Callable:
    def forward(x, slope, out):
        for n in range(x.shape[0]):
            for c in range(x.shape[1]):
                source, target, factor = x[n, c], out[n, c], slope[c]
                for i in range(source.size):
                    target[i] = max(source[i], np.float32(0)) + factor * min(source[i], np.float32(0))

    return compiled(forward, _IN, _SLOPE, _OUT)


@functools.cache
def _backward() -> Callable:
    def backward(grad, x, slope, by_x, by_slope):
        by_slope[:] = 0
        for n in range(x.shape[0]):
            for c in range(x.shape[1]):
                source, above, target, factor, total = x[n, c], grad[n, c], by_x[n, c], slope[c], np.float32(0)
                for i in range(source.size):
                    target[i] = above[i] * (np.float32(1) if source[i] > 0 else factor)
                    total += above[i] * min(source[i], np.float32(0))
                by_slope[c] += total

    return compiled(backward, _IN, _IN, _SLOPE, _OUT, _BY_SLOPE)
