"""Depthwise convolution on CPUs: forward pass and both gradients, several times faster than Paddle's kernels."""

import paddle
from paddle.autograd import PyLayer

from ppface.ops.cpu.compiled import view

KERNELS, STRIDES = (3, 5, 7), (1, 2)


def supported(weight: paddle.Tensor, stride: int) -> bool:
    """Whether there is a kernel for this weight (C, 1, K, K) and stride: float32, K 3, 5 or 7, stride 1 or 2."""
    return weight.dtype == paddle.float32 and weight.shape[2] == weight.shape[3] in KERNELS and stride in STRIDES


def depthwise_conv2d(x: paddle.Tensor, weight: paddle.Tensor, stride: int, padding: int) -> paddle.Tensor:
    """Depthwise convolution, as `paddle.nn.functional.conv2d` with one group a channel.

    Args:
        x: float32, not empty.
        weight: one kernel a channel, for which `supported` is true.
        stride: 1 or 2, in both directions.
        padding: zeros on each side, >= 0.

    Shape:
        (N, C, H, W), (C, 1, K, K) -> (N, C, (H + 2 * padding - K) // stride + 1, (W + 2 * padding - K) // stride + 1)
    """
    return _DepthwiseConv2D.apply(x, weight, stride, padding)


class _DepthwiseConv2D(PyLayer):
    @staticmethod
    def forward(ctx, x, weight, stride, padding):
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        ctx.wanted = not x.stop_gradient, not weight.stop_gradient
        side = weight.shape[2]
        height, width = ((size + 2 * padding - side) // stride + 1 for size in x.shape[2:])
        out = paddle.empty([*x.shape[:2], height, width], "float32")
        from ppface.ops.cpu.depthwise_kernels import forward_kernel, scratch

        phases, plane = scratch(height, width, side, stride)
        forward_kernel(side, stride)(view(x), view(weight), padding, phases, plane, view(out))
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensor()
        grad, side, stride = grad.contiguous(), weight.shape[2], ctx.stride
        from ppface.ops.cpu.depthwise_kernels import input_gradient_kernel, scratch, weight_gradient_kernel

        phases, plane = scratch(grad.shape[2], grad.shape[3], side, stride)
        by_x = by_weight = None
        if ctx.wanted[0]:
            by_x = paddle.empty_like(x)
            input_gradient_kernel(side, stride)(view(grad), view(weight), ctx.padding, phases, plane, view(by_x))
        if ctx.wanted[1]:
            by_weight = paddle.empty_like(weight)
            weight_gradient_kernel(side, stride)(view(grad), view(x), ctx.padding, phases, plane, view(by_weight))
        return by_x, by_weight
