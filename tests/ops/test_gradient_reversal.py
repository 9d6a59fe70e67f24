"""Gradient reversal: the same numbers forward, the opposite gradient backward."""

import numpy as np
import paddle
import pytest

from ppface.ops.gradient_reversal import ramp, reverse_gradient


def test_values_stay_to_the_byte_and_gradients_change_their_sign(rng):
    values = rng.normal(0, 1e3, (4, 5)).astype("float32")
    x = paddle.to_tensor(values, stop_gradient=False)
    y = reverse_gradient(x, 0.3)
    assert y.numpy().tobytes() == values.tobytes()
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), -0.3 * 2 * values, rtol=1e-6)


def test_the_factor_grows_from_nothing_to_almost_one():
    assert ramp(0.0) == 0 and ramp(1.0) == pytest.approx(0.99990920, abs=1e-8)
    assert ramp(0.25) == pytest.approx((1 - np.exp(-2.5)) / (1 + np.exp(-2.5)))  # the same function, written as a tangent
