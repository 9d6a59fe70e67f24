"""Depthwise convolutions against float64 loops, values and both gradients."""

import numpy as np
import paddle
import pytest

from ppface.ops.cpu.depthwise import depthwise_conv2d, supports


def reference(x, weight, grad_of, stride, padding):
    """Output, and the gradients of sum(output * grad_of(output's shape)), tap by tap in float64."""
    x, weight = x.astype("float64"), weight.astype("float64")
    size, (top, left) = weight.shape[2], padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    height, width = ((padded.shape[i] - size) // stride + 1 for i in (2, 3))
    out = np.zeros((*x.shape[:2], height, width))
    grad, of_padded, of_weight = grad_of(out.shape), np.zeros_like(padded), np.zeros_like(weight)
    for ky in range(size):
        for kx in range(size):
            seen = np.s_[:, :, ky : ky + stride * (height - 1) + 1 : stride, kx : kx + stride * (width - 1) + 1 : stride]
            tap = weight[:, 0, ky, kx][None, :, None, None]
            out += tap * padded[seen]
            of_padded[seen] += tap * grad
            of_weight[:, 0, ky, kx] = (grad * padded[seen]).sum(axis=(0, 2, 3))
    return out, of_padded[:, :, top : top + x.shape[2], left : left + x.shape[3]], of_weight, grad


def ours(x, weight, grad, stride, padding):
    x, weight = paddle.to_tensor(x, stop_gradient=False), paddle.to_tensor(weight, stop_gradient=False)
    out = depthwise_conv2d(x, weight, stride, padding)
    out.backward(paddle.to_tensor(grad.astype("float32")))
    return out.numpy(), x.grad.numpy(), weight.grad.numpy()


def close(got, want):
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(abs(want).max(), 1e-30))


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_values_and_gradients_are_those_of_float64(rng, size, stride):
    shapes = [(7, 7), (8, 9), (13, 10), (1, 33), (40, 1), (31, 64), (70, 75)]
    for height, width in shapes:
        for padding in [(size // 2, size // 2), (0, 0), (size - 1, 1), (size + 2, size)]:
            if height + 2 * padding[0] < size or width + 2 * padding[1] < size:
                continue
            x = rng.normal(size=(2, 3, height, width)).astype("float32")
            weight = rng.normal(size=(3, 1, size, size)).astype("float32")
            *want, grad = reference(x, weight, lambda shape: rng.normal(size=shape), stride, padding)
            for one, other in zip(ours(x, weight, grad, stride, padding), want, strict=True):
                close(one, other)


def test_two_runs_give_the_same_bytes(rng):
    x, weight = rng.normal(size=(2, 8, 65, 131)).astype("float32"), rng.normal(size=(8, 1, 5, 5)).astype("float32")
    grad = rng.normal(size=(2, 8, 33, 66))
    first, second = (ours(x, weight, grad, 2, (2, 2)) for _ in range(2))
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


def test_what_is_no_number_stays_none(rng):
    x, weight = rng.normal(size=(1, 2, 9, 9)).astype("float32"), rng.normal(size=(2, 1, 3, 3)).astype("float32")
    x[0, 0, 4, 4] = np.nan
    out, of_x, of_weight = ours(x, weight, np.ones((1, 2, 9, 9)), 1, (1, 1))
    assert np.isnan(out[0, 0]).sum() == 9 and np.isnan(of_weight[0]).all()
    assert not np.isnan(out[0, 1]).any() and not np.isnan(of_x).any() and not np.isnan(of_weight[1]).any()


@pytest.mark.parametrize("frozen", [0, 1])
def test_only_wanted_gradients_are_made(rng, frozen):
    x, weight = paddle.randn([1, 2, 8, 8]), paddle.randn([2, 1, 3, 3])
    wanted, unwanted = (weight, x) if frozen == 0 else (x, weight)
    wanted.stop_gradient = False
    depthwise_conv2d(x, weight, 1, (1, 1)).sum().backward()
    assert wanted.grad is not None and unwanted.grad is None


def test_without_gradients_none_are_kept():
    x, weight = paddle.randn([1, 2, 8, 8]), paddle.randn([2, 1, 3, 3])
    weight.stop_gradient = False
    with paddle.no_grad():
        assert depthwise_conv2d(x, weight, 1, (1, 1)).stop_gradient
    weight.stop_gradient = True
    assert depthwise_conv2d(x, weight, 1, (1, 1)).stop_gradient


def test_second_derivatives_are_refused():
    x, weight = paddle.randn([1, 2, 8, 8]), paddle.randn([2, 1, 3, 3])
    x.stop_gradient = False
    message = "Depthwise: expected create_graph=False, received True: the CPU kernels have no second derivatives"
    with pytest.raises(OSError, match=f"RuntimeError: {message}"):  # Paddle's own wrapping
        paddle.grad(depthwise_conv2d(x, weight, 1, (1, 1)).sum(), x, create_graph=True)


def test_views_that_are_not_contiguous_are_taken(rng):
    whole = paddle.to_tensor(rng.normal(size=(2, 9, 9, 4)).astype("float32"))
    weight = paddle.to_tensor(rng.normal(size=(4, 1, 3, 3)).astype("float32"))
    x = whole.transpose([0, 3, 1, 2])
    want, *_ = reference(x.numpy(), weight.numpy(), np.zeros, 1, (1, 1))
    close(depthwise_conv2d(x, weight, 1, (1, 1)).numpy(), want)
    close(depthwise_conv2d(x[1:], weight, 1, (1, 1)).numpy(), want[1:])


@pytest.mark.parametrize(
    ("shape", "size", "stride", "padding", "taken"),
    [
        ((1, 2, 8, 8), 3, 1, 1, True),
        ((0, 2, 8, 8), 3, 1, 1, False),
        ((1, 2, 8, 8), 9, 1, 4, False),
        ((1, 2, 8, 8), 4, 1, 1, False),
        ((1, 2, 8, 8), 3, 3, 1, False),
        ((1, 2, 2, 8), 3, 1, 0, False),
    ],
)
def test_supported_inputs(shape, size, stride, padding, taken):
    x, weight = paddle.zeros(shape), paddle.zeros([2, 1, size, size])
    assert supports(x, weight, stride, (padding, padding)) is taken
    assert not supports(x.astype("float64"), weight.astype("float64"), stride, (padding, padding))
