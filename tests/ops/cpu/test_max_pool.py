"""Max pooling against Paddle's: the same bytes, ties and odd sides included."""

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppface.ops.cpu.max_pool import max_pool2x2, supports


@pytest.mark.parametrize(("height", "width"), [(8, 40), (7, 9), (1, 1), (2, 67), (35, 6)])
def test_values_and_gradients_are_paddles(rng, height, width):
    numbers = rng.integers(-2, 3, (2, 3, height, width)).astype("float32")  # many pixels are as large as their neighbours
    found = []
    for pool in (max_pool2x2, lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True)):
        x = paddle.to_tensor(numbers, stop_gradient=False)
        out = pool(x)
        (out * paddle.arange(out.size, dtype="float32").reshape(out.shape)).sum().backward()
        found.append((out.numpy().tobytes(), x.grad.numpy().tobytes()))
    assert found[0] == found[1]


def test_a_literal_loop_says_the_same(rng):
    x = rng.normal(size=(2, 2, 5, 6)).astype("float32")
    out = max_pool2x2(paddle.to_tensor(x)).numpy()
    assert all(out[n, c, i, j] == x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max() for n, c, i, j in np.ndindex(out.shape))
    for place in np.ndindex(2, 2):
        broken = x.copy()
        broken[(0, 0, *place)] = np.nan
        assert np.isnan(max_pool2x2(paddle.to_tensor(broken)).numpy()[0, 0, 0, 0])


def test_supported_inputs():
    assert supports(paddle.zeros([1, 2, 3, 3]))
    assert not supports(paddle.zeros([0, 2, 3, 3])) and not supports(paddle.zeros([1, 2, 3, 3], "float64"))
