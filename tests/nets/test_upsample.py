"""Nearest-neighbour upsampling: each value four times, cropped, the same in dynamic mode and in a static graph."""

import numpy as np
import paddle
import pytest

from ppface.nets.layers.upsample import upsampled


@pytest.mark.filterwarnings("ignore:(?s).*do not have .place. interface")
@pytest.mark.parametrize(("height", "width"), [(6, 8), (5, 7), (5, 8)])
def test_values_and_gradients(rng, height, width):
    x = paddle.to_tensor(rng.normal(size=(2, 3, 3, 4)).astype("float32"), stop_gradient=False)
    like, factor = paddle.zeros([2, 1, height, width]), rng.normal(size=(2, 3, height, width)).astype("float32")
    made = upsampled(x, like)
    rows, columns = np.arange(height) // 2, np.arange(width) // 2
    np.testing.assert_array_equal(made.numpy(), x.numpy()[:, :, rows][:, :, :, columns])
    (made * paddle.to_tensor(factor)).sum().backward()
    expected = np.zeros((2, 3, 3, 4))
    for row in range(height):
        for column in range(width):
            expected[:, :, row // 2, column // 2] += factor[:, :, row, column]
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-5, atol=1e-6)
    static = paddle.jit.to_static(upsampled, full_graph=True)
    np.testing.assert_array_equal(static(x, like).numpy(), made.numpy())
