"""Batch norm with the activation behind it against float64, values, statistics and all gradients."""

import numpy as np
import paddle
import pytest

from ppface.ops.cpu.batch_norm_act import batch_norm_act, supports


def reference(x, weight, bias, slope, grad, epsilon):
    """Algorithm 1 and the chain rule of section 3 of Ioffe and Szegedy 2015, channel by channel."""
    out, of_x = np.empty_like(x), np.empty_like(x)
    rows = []
    for c in range(x.shape[1]):
        values, above = x[:, c], grad[:, c]
        mean, variance = values.mean(), values.var()
        root = np.sqrt(variance + epsilon)
        unit = (values - mean) / root
        z = weight[c] * unit + bias[c]
        out[:, c] = np.where(z > 0, z, slope[c] * z)
        of_z = np.where(z > 0, above, slope[c] * above)
        of_unit = of_z * weight[c]
        of_variance = (of_unit * (values - mean)).sum() * -0.5 / root**3
        of_mean = -of_unit.sum() / root
        of_x[:, c] = of_unit / root + of_variance * 2 * (values - mean) / values.size + of_mean / values.size
        rows.append((mean, variance, (of_z * unit).sum(), of_z.sum(), (above * np.where(z > 0, 0, z)).sum()))
    return out, of_x, *np.transpose(rows)


@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (1, 2, 40, 133), (16, 4, 1, 2)])
@pytest.mark.parametrize("far", [0.0, 30.0])
def test_values_statistics_and_gradients_are_those_of_float64(rng, shape, far):
    channels = shape[1]
    x, grad = rng.normal(size=shape).astype("float32") + np.float32(far), rng.normal(size=shape).astype("float32")
    weight, bias, slope = (rng.uniform(-1, 1, channels).astype("float32") for _ in range(3))
    want = reference(*(a.astype("float64") for a in (x, weight, bias, slope, grad)), epsilon=1e-5)
    inputs = [paddle.to_tensor(a, stop_gradient=False) for a in (x, weight, bias, slope)]
    out, mean, variance = batch_norm_act(*inputs, 1e-5)
    out.backward(paddle.to_tensor(grad))
    gradients = [one.grad.numpy() for one in inputs]
    got = out.numpy(), gradients[0], mean, variance, *gradients[1:]
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=(1e-4 if far else 1e-5) * max(1, abs(other).max()))


@pytest.mark.parametrize("slope", [0.0, 0.01, 1.0])
def test_one_slope_for_all_and_frozen_parameters(rng, slope):
    x, grad = rng.normal(size=(2, 3, 6, 6)), rng.normal(size=(2, 3, 6, 6))
    want = reference(x, np.full(3, 2.0), np.zeros(3), np.full(3, slope), grad, 1e-5)
    tensor = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
    weight = paddle.full([3], 2.0)
    out, *_ = batch_norm_act(tensor, weight, paddle.zeros([3]), slope, 1e-5)
    out.backward(paddle.to_tensor(grad.astype("float32")))
    np.testing.assert_allclose(out.numpy(), want[0], atol=1e-5)
    np.testing.assert_allclose(tensor.grad.numpy(), want[1], atol=1e-5)
    assert weight.grad is None


def test_two_runs_give_the_same_bytes_and_what_is_no_number_stays_none(rng):
    found = []
    for broken in (False, False, True):
        x = rng.normal(size=(2, 3, 9, 9)) if not found else found[0][0]
        if broken:
            x[0, 1, 2, 3] = np.nan
        tensor = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
        out, *_ = batch_norm_act(tensor, paddle.ones([3]), paddle.ones([3]), 0.1, 1e-5)
        (of_x,) = paddle.grad((out * out).sum(), tensor)
        found.append((x, out.numpy(), of_x.numpy()))
    assert found[0][1].tobytes() == found[1][1].tobytes() and found[0][2].tobytes() == found[1][2].tobytes()
    assert np.isnan(found[2][1][:, 1]).all() and np.isnan(found[2][2][:, 1]).all() and not np.isnan(found[2][1][:, 0]).any()


def test_supported_inputs():
    assert supports(paddle.zeros([1, 2, 3, 3]))
    assert (
        not supports(paddle.zeros([0, 2, 3, 3]))
        and not supports(paddle.zeros([1, 2, 3, 3], "float64"))
        and not supports(paddle.zeros([1, 2]))
    )
