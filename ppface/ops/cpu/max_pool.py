"""Max pooling over 2x2 pixels of tensors on a CPU, with gradient, by Numba kernels."""

from typing import Any

import numpy as np
import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu import compiler
from ppface.ops.cpu.memory import refuse_second_order, view


def supports(x: paddle.Tensor) -> bool:
    """Whether `max_pool2x2` accepts it."""
    return x.dtype == paddle.float32 and x.ndim == 4 and x.size > 0 and compiler.available()


def max_pool2x2(x: paddle.Tensor) -> paddle.Tensor:
    """out[n, c, i, j] = the largest of x[n, c, 2i : 2i + 2, 2j : 2j + 2]; its gradient goes to the first of the largest, row by row.

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2))
    """
    return MaxPool.apply(x)


class MaxPool(PyLayer):
    """The operator and its gradient; two runs give the same bytes."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor) -> paddle.Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        out = paddle.empty([*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2], "float32")
        compiler.load("max_pool").forward(_planes(x), _planes(out))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: paddle.Tensor) -> Any:
        refuse_second_order("MaxPool")
        (x,), grad = ctx.saved_tensor(), grads[0].contiguous()
        of_x = paddle.empty(x.shape, "float32")
        compiler.load("max_pool").gradient(_planes(x), _planes(grad), _planes(of_x))
        return of_x


def _planes(x: paddle.Tensor) -> np.ndarray:
    """(N * C, H, W)."""
    return view(x).reshape(-1, *x.shape[2:])
