"""Pixels to numbers in one pass: those of three."""

import numpy as np
import paddle

from ppface.nets.model import Input
from ppface.ops.cpu.standardize import supports


def test_every_pixel_value_is_what_float64_says():
    image = np.arange(256, dtype="uint8").reshape([1, 1, 8, 32]).repeat(3, axis=1).repeat(2, axis=0)
    mean, std = [123.0, 117.0, 104.0], [127.502231, 50.0, 1.5]
    layer = Input((8, 32), mean, std)
    got = layer(paddle.to_tensor(image)).numpy()
    want = (image - np.reshape(mean, [3, 1, 1])) / np.reshape(std, [3, 1, 1])
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got, layer(paddle.to_tensor(image).astype("float32")).numpy(), rtol=1e-6, atol=1e-6)


def test_bgr_input_is_that_of_the_operators():
    image = paddle.randint(0, 256, [2, 3, 5, 7]).astype("uint8")
    layer = Input((5, 7), [123.0, 117.0, 104.0], [64.0, 50.0, 1.5], order="BGR")
    got = layer(image).numpy()
    np.testing.assert_allclose(got, layer(image.astype("float32")).numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got[:, 0], (image.numpy()[:, 2] - 104.0) / 1.5, rtol=1e-6, atol=1e-6)


def test_supported_inputs():
    image = paddle.zeros([2, 3, 4, 4], "uint8")
    assert supports(image) and not supports(image[:0]) and not supports(image.astype("float32"))
    assert not supports(image.transpose([0, 1, 3, 2]))
