"""Depthwise convolution of tensors on a CPU, with gradients, by Numba kernels."""

from typing import Any

import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu import compiler
from ppface.ops.cpu.memory import refuse_second_order, view

SIZES, STRIDES = (3, 5, 7), (1, 2)


def supports(x: paddle.Tensor, weight: paddle.Tensor, stride: int, padding: tuple[int, int]) -> bool:
    """Whether `depthwise_conv2d` accepts these."""
    size, shape = weight.shape[2], x.shape
    known = x.dtype == weight.dtype == paddle.float32 and weight.shape[3] == size and size in SIZES and stride in STRIDES
    fits = min(shape) > 0 and shape[1] == weight.shape[0] and all(shape[2 + i] + 2 * padding[i] >= size for i in (0, 1))
    return known and fits and compiler.available()


def depthwise_conv2d(x: paddle.Tensor, weight: paddle.Tensor, stride: int, padding: tuple[int, int]) -> paddle.Tensor:
    """out[n, c, i, j] = sum over (ky, kx) of weight[c, 0, ky, kx] * padded x[n, c, stride * i + ky, stride * j + kx].

    Args:
        stride: of rows and columns, 1 or 2.
        padding: zeros above and below, left and right.

    Shape:
        (N, C, H, W), (C, 1, K, K) -> (N, C, (H + 2 * padding[0] - K) // stride + 1, (W + 2 * padding[1] - K) // stride + 1)
    """
    return Depthwise.apply(x, weight, stride, padding)


class Depthwise(PyLayer):
    """The operator and both gradients; two runs give the same bytes."""

    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, stride: int, padding: tuple[int, int]) -> paddle.Tensor:
        kernels = compiler.load("depthwise")
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.wanted = stride, padding, (not x.stop_gradient, not weight.stop_gradient)
        size = weight.shape[2]
        height, width = ((x.shape[2 + i] + 2 * padding[i] - size) // stride + 1 for i in (0, 1))
        out = paddle.empty([*x.shape[:2], height, width], "float32")
        kernels.forward(view(x), view(weight), stride, *padding, view(out))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: paddle.Tensor) -> Any:
        refuse_second_order("Depthwise")
        kernels = compiler.load("depthwise")
        (x, weight), grad = ctx.saved_tensor(), grads[0].contiguous()
        of_x = of_weight = None
        if ctx.wanted[0]:
            of_x = paddle.empty(x.shape, "float32")
            kernels.input_gradient(view(grad), view(weight), ctx.stride, *ctx.padding, view(of_x))
        if ctx.wanted[1]:
            of_weight = paddle.empty(weight.shape, "float32")
            kernels.weight_gradient(view(x), view(grad), ctx.stride, *ctx.padding, view(of_weight))
        return of_x, of_weight
