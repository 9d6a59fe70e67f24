"""PReLU and input normalisation in Numba against NumPy."""

import numpy as np
import paddle
import pytest

pytest.importorskip("numba", reason="the kernels need Numba")

from ppface.ops.cpu.normalize import normalize
from ppface.ops.cpu.prelu import prelu


def test_prelu_and_its_gradients(rng):
    x, slope, grad = rng.normal(size=(3, 4, 5, 7)).astype("float32"), rng.normal(size=4).astype("float32"), rng.normal(size=(3, 4, 5, 7))
    x[0, 0, 0, 0] = 0
    tensors = [paddle.to_tensor(array, stop_gradient=False) for array in (x, slope)]
    out = prelu(*tensors)
    (out * paddle.to_tensor(grad.astype("float32"))).sum().backward()
    wide = slope[None, :, None, None]
    np.testing.assert_array_equal(out.numpy(), np.where(x > 0, x, wide * x))
    np.testing.assert_allclose(tensors[0].grad.numpy(), grad * np.where(x > 0, 1, wide), rtol=1e-6)
    np.testing.assert_allclose(tensors[1].grad.numpy(), (grad * np.minimum(x, 0)).sum((0, 2, 3)), rtol=1e-5, atol=1e-5)


def test_prelu_with_a_frozen_slope(rng):
    x, slope = paddle.to_tensor(rng.normal(size=(1, 2, 3, 3)).astype("float32"), stop_gradient=False), paddle.full([2], 0.25)
    prelu(x, slope).sum().backward()
    assert slope.grad is None and set(np.unique(x.grad.numpy())) == {0.25, 1.0}


def test_normalisation_has_the_bits_of_paddles(rng):
    image = paddle.to_tensor(rng.integers(0, 256, (2, 3, 17, 23)).astype("uint8"))
    mean, std = paddle.to_tensor([123.0, 117.0, 104.0]), paddle.to_tensor([127.502231, 58.395, 1.7])
    want = (image.astype("float32") - mean.reshape([1, 3, 1, 1])) / std.reshape([1, 3, 1, 1])
    np.testing.assert_array_equal(normalize(image, mean, std).numpy(), want.numpy())
