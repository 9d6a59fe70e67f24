"""Depthwise convolution in Numba against loops over the kernel in float64: values and both gradients."""

import numpy as np
import paddle
import pytest

pytest.importorskip("numba", reason="the kernels need Numba")

from ppface.ops.cpu.depthwise import depthwise_conv2d


def windows(padded, side, stride, height, width):
    """(tap's row, tap's column, the part of the padded pictures that it reads) for every tap."""
    for ky in range(side):
        for kx in range(side):
            yield ky, kx, np.s_[:, :, ky : ky + (height - 1) * stride + 1 : stride, kx : kx + (width - 1) * stride + 1 : stride]


def reference(x, w, grad, stride, padding):
    """(output, gradient of x, gradient of w) in float64; `grad` is a function of the output's shape."""
    x, w = x.astype("float64"), w.astype("float64")
    side, (height, width) = w.shape[2], x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.zeros((*x.shape[:2], (height + 2 * padding - side) // stride + 1, (width + 2 * padding - side) // stride + 1))
    by_padded, by_w, grad = np.zeros_like(padded), np.zeros_like(w), grad(out.shape)
    for ky, kx, part in windows(padded, side, stride, *out.shape[2:]):
        tap = w[None, :, 0, ky, kx, None, None]
        out += tap * padded[part]
        by_padded[part] += tap * grad
        by_w[:, 0, ky, kx] = (padded[part] * grad).sum((0, 2, 3))
    return out, by_padded[:, :, padding : padding + height, padding : padding + width], by_w


def close(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5, 7])
def test_values_and_gradients_are_those_of_the_definition(rng, side, stride):
    for padding in (0, 1, side // 2, side):
        for size in ((side, side), (8, 8), (7, 13), (1, 40), (31, 6), (70, 90)):
            if min(size) + 2 * padding < side:
                continue
            x, w = rng.normal(size=(2, 3, *size)).astype("float32"), rng.normal(size=(3, 1, side, side)).astype("float32")
            shape = [(edge + 2 * padding - side) // stride + 1 for edge in size]
            grad = rng.normal(size=(2, 3, *shape)).astype("float32")
            tensors = [paddle.to_tensor(array, stop_gradient=False) for array in (x, w)]
            out = depthwise_conv2d(*tensors, stride, padding)
            (out * paddle.to_tensor(grad)).sum().backward()
            expected = reference(x, w, lambda _, grad=grad: grad.astype("float64"), stride, padding)
            for received, wanted in zip((out, tensors[0].grad, tensors[1].grad), expected, strict=True):
                close(received.numpy(), wanted)


def test_two_calls_give_the_same_bytes(rng):
    x, w = rng.normal(size=(2, 8, 33, 47)).astype("float32"), rng.normal(size=(8, 1, 5, 5)).astype("float32")
    found = []
    for _ in range(2):
        tensors = [paddle.to_tensor(array, stop_gradient=False) for array in (x, w)]
        out = depthwise_conv2d(*tensors, 1, 2)
        (out * out).sum().backward()
        found.append([out.numpy().tobytes(), *(tensor.grad.numpy().tobytes() for tensor in tensors)])
    assert found[0] == found[1]


@pytest.mark.parametrize("frozen", ["x", "weight", "both"])
def test_only_wanted_gradients_are_computed(rng, frozen):
    x = paddle.to_tensor(rng.normal(size=(1, 2, 6, 6)).astype("float32"), stop_gradient=frozen in ("x", "both"))
    w = paddle.to_tensor(rng.normal(size=(2, 1, 3, 3)).astype("float32"), stop_gradient=frozen in ("weight", "both"))
    out = depthwise_conv2d(x, w, 1, 1)
    assert out.stop_gradient == (frozen == "both")
    if frozen != "both":
        out.sum().backward()
    assert (x.grad is None) == (frozen in ("x", "both")) and (w.grad is None) == (frozen in ("weight", "both"))


def test_a_transposed_input_is_taken(rng):
    x, w = paddle.to_tensor(rng.normal(size=(1, 6, 2, 7)).astype("float32")).transpose([0, 2, 1, 3]), paddle.ones([2, 1, 3, 3])
    close(depthwise_conv2d(x, w, 1, 1).numpy(), paddle.nn.functional.conv2d(x, w, padding=1, groups=2).numpy())
