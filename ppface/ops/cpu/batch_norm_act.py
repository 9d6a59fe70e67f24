"""Batch norm in training and the activation behind it in one operator on a CPU, by Numba kernels."""

from typing import Any

import numpy as np
import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu import compiler
from ppface.ops.cpu.memory import refuse_second_order, view


def supports(x: paddle.Tensor) -> bool:
    """Whether `batch_norm_act` accepts it; of a single value per channel Paddle takes no statistics and returns it unchanged."""
    return x.dtype == paddle.float32 and x.ndim == 4 and x.size > x.shape[1] and compiler.available()


def batch_norm_act(
    x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, slope: paddle.Tensor | float, epsilon: float
) -> tuple[paddle.Tensor, np.ndarray, np.ndarray]:
    """z = weight * (x - mean) / sqrt(variance + epsilon) + bias, and of it z where z > 0, else slope * z.

    Args:
        slope: of every channel, or one for all: 0 makes a ReLU, 1 no activation.

    Shape:
        (N, C, H, W), (C,), (C,), (C,) -> (N, C, H, W), and without gradient mean and biased variance (C,)
    """
    statistics = np.empty([2, x.shape[1]], np.float32)
    return BatchNormAct.apply(x, weight, bias, slope, epsilon, statistics), statistics[0], statistics[1]


class BatchNormAct(PyLayer):
    """The operator and its gradients; two runs give the same bytes."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, slope: Any, epsilon: float, statistics: Any) -> Any:
        kernels = compiler.load("batch_norm_act")
        x = x.contiguous()
        low = view(slope) if isinstance(slope, paddle.Tensor) else np.full(x.shape[1], slope, np.float32)
        out = paddle.empty(x.shape, "float32")
        kernels.forward(_planes(x), view(weight), view(bias), low, epsilon, *statistics, _planes(out))
        ctx.save_for_backward(x, weight, bias, slope)
        ctx.rest = epsilon, statistics
        return out

    @staticmethod
    def backward(ctx: Any, *grads: paddle.Tensor) -> Any:
        refuse_second_order("BatchNormAct")
        kernels = compiler.load("batch_norm_act")
        (x, weight, bias, slope), (epsilon, statistics) = ctx.saved_tensor(), ctx.rest
        learned = isinstance(slope, paddle.Tensor)
        low = view(slope) if learned else np.full(x.shape[1], slope, np.float32)
        grad, of_x = grads[0].contiguous(), paddle.empty(x.shape, "float32")
        of_rest = [paddle.empty(weight.shape, "float32") for _ in range(3)]
        known = _planes(x), _planes(grad), view(weight), view(bias), low, epsilon, *statistics
        kernels.gradients(*known, _planes(of_x), *map(view, of_rest))
        inputs = [x, weight, bias, slope] if learned else [x, weight, bias]
        return tuple(None if one.stop_gradient else of for one, of in zip(inputs, [of_x, *of_rest], strict=False))


def _planes(x: paddle.Tensor) -> np.ndarray:
    """(N, C, H * W)."""
    return view(x).reshape(x.shape[0], x.shape[1], -1)
