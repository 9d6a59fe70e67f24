"""3x3 convolutions by Winograd's algorithm against float64 sums, values and both gradients."""

import numpy as np
import paddle
import pytest

from ppface.ops.cpu import winograd
from ppface.ops.cpu.winograd import conv2d_3x3, supports


def reference(x, weight, grad):
    """Output, and the gradients of sum(output * grad), tap by tap in float64."""
    x, weight, grad = x.astype("float64"), weight.astype("float64"), grad.astype("float64")
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    out, of_padded, of_weight = np.zeros(grad.shape), np.zeros_like(padded), np.zeros_like(weight)
    for ky in range(3):
        for kx in range(3):
            seen = np.s_[:, :, ky : ky + height, kx : kx + width]
            out += np.einsum("oc,nchw->nohw", weight[:, :, ky, kx], padded[seen])
            of_padded[seen] += np.einsum("oc,nohw->nchw", weight[:, :, ky, kx], grad)
            of_weight[:, :, ky, kx] = np.einsum("nohw,nchw->oc", grad, padded[seen])
    return out, of_padded[:, :, 1:-1, 1:-1], of_weight


def ours(x, weight, grad):
    x, weight = paddle.to_tensor(x, stop_gradient=False), paddle.to_tensor(weight, stop_gradient=False)
    out = conv2d_3x3(x, weight)
    out.backward(paddle.to_tensor(grad))
    return out.numpy(), x.grad.numpy(), weight.grad.numpy()


def drawn(rng, batch, channels, out, height, width):
    shapes = [(batch, channels, height, width), (out, channels, 3, 3), (batch, out, height, width)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 7), (8, 9), (13, 10), (33, 64)])
@pytest.mark.parametrize("channels", [(1, 1), (3, 5), (16, 4)])
def test_values_and_gradients_are_those_of_float64(rng, size, channels):
    x, weight, grad = drawn(rng, 3, *channels, *size)
    for got, want in zip(ours(x, weight, grad), reference(x, weight, grad), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * abs(want).max())


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (2, 2), (7, 7), (8, 9), (13, 10), (33, 64)])
@pytest.mark.parametrize("frozen", [False, True])
def test_without_gradients_values_are_exact_to_rounding(rng, size, frozen):
    x, weight, grad = drawn(rng, 3, 16, 5, *size)
    given = paddle.to_tensor(x), paddle.to_tensor(weight, stop_gradient=frozen)
    with paddle.set_grad_enabled(frozen):
        out = conv2d_3x3(*given)
    want = reference(x, weight, grad)[0]
    assert out.stop_gradient
    np.testing.assert_allclose(out.numpy(), want, rtol=0, atol=1e-6 * abs(want).max())


def test_images_are_multiplied_in_parts(rng, monkeypatch):
    """As many at once as TILES_BYTES allows, at least one; the gradient of the weight is the sum over all."""
    x, weight, grad = drawn(rng, 5, 4, 6, 9, 11)
    whole = ours(x, weight, grad)
    with paddle.no_grad():
        exact = conv2d_3x3(paddle.to_tensor(x), paddle.to_tensor(weight)).numpy()
    for per_part in (1, 2):
        monkeypatch.setattr(winograd, "TILES_BYTES", per_part * 36 * 4 * 6 * 3 * 3)
        for got, want in zip(ours(x, weight, grad), whole, strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=4e-6 * abs(want).max())
        with paddle.no_grad():
            np.testing.assert_allclose(conv2d_3x3(paddle.to_tensor(x), paddle.to_tensor(weight)).numpy(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 1), (3, 4), (4, 4), (5, 5), (6, 2)])
@pytest.mark.parametrize("images", [1, 2, 4])
def test_nothing_is_written_behind_the_last_image(rng, monkeypatch, size, images):
    """The tensors of the operator are the first of larger ones, whose rest has to stay as it is, and NaN in what is read."""
    x, weight, grad = drawn(rng, images, 5, 6, *size)
    rest, empty = [], paddle.empty

    def larger(shape, dtype):
        whole = paddle.full([shape[0] + 2, *shape[1:]], float("nan"), dtype)
        rest.append(whole[shape[0] :])
        return whole[: shape[0]]

    for by in (winograd.EXACT, winograd.FAST):
        monkeypatch.setattr(paddle, "empty", larger)
        behind = paddle.to_tensor(np.concatenate([x, np.full_like(x[:1], np.nan)]))
        out = winograd._convolve(behind[:images], by.weight_tiles(paddle.to_tensor(weight)), by)
        of_weight = winograd._weight_gradient(behind[:images], paddle.to_tensor(grad))
        monkeypatch.setattr(paddle, "empty", empty)
        want, _, want_weight = reference(x, weight, grad)
        np.testing.assert_allclose(out.numpy(), want, rtol=0, atol=1e-5 * abs(want).max())
        np.testing.assert_allclose(of_weight.numpy(), want_weight, rtol=0, atol=1e-5 * abs(want_weight).max())
        assert all(np.isnan(part.numpy()).all() for part in rest)


def test_two_runs_give_the_same_bytes(rng):
    arrays = drawn(rng, 2, 16, 24, 41, 37)
    assert [a.tobytes() for a in ours(*arrays)] == [a.tobytes() for a in ours(*arrays)]


def test_nan_stays_in_the_tiles_that_read_it(rng):
    x, weight, grad = drawn(rng, 1, 2, 3, 16, 16)
    x[0, 0, 8, 8] = np.nan
    out, of_x, of_weight = ours(x, weight, grad)
    assert np.isnan(out[0, :, 7:10, 7:10]).all() and not np.isnan(out[0, :, :6]).any() and not np.isnan(out[0, :, 12:]).any()
    assert np.isnan(of_weight[:, 0]).all() and not np.isnan(of_weight[:, 1]).any() and not np.isnan(of_x).any()


@pytest.mark.parametrize("frozen", [0, 1])
def test_only_wanted_gradients_are_made(frozen):
    x, weight = paddle.randn([1, 2, 8, 8]), paddle.randn([2, 2, 3, 3])
    wanted, unwanted = (weight, x) if frozen == 0 else (x, weight)
    wanted.stop_gradient = False
    conv2d_3x3(x, weight).sum().backward()
    assert wanted.grad is not None and unwanted.grad is None


def test_second_derivatives_are_refused():
    x, weight = paddle.randn([1, 2, 8, 8]), paddle.randn([2, 2, 3, 3])
    x.stop_gradient = False
    message = "Winograd: expected create_graph=False, received True: the CPU kernels have no second derivatives"
    with pytest.raises(OSError, match=f"RuntimeError: {message}"):  # Paddle's own wrapping
        paddle.grad(conv2d_3x3(x, weight).sum(), x, create_graph=True)


def test_views_that_are_not_contiguous_are_read(rng):
    whole = paddle.to_tensor(rng.normal(size=(2, 9, 9, 4)).astype("float32"))
    weight = paddle.to_tensor(rng.normal(size=(4, 4, 3, 3)).astype("float32"))
    x = whole.transpose([0, 3, 1, 2])
    want = reference(x.numpy(), weight.numpy(), np.zeros((2, 4, 9, 9)))[0]
    np.testing.assert_allclose(conv2d_3x3(x, weight).numpy(), want, rtol=0, atol=1e-5 * abs(want).max())
    np.testing.assert_allclose(conv2d_3x3(x[1:], weight).numpy(), want[1:], rtol=0, atol=1e-5 * abs(want).max())


@pytest.mark.parametrize(
    ("shape", "out", "size", "accepted"),
    [
        ((8, 64, 56, 56), 64, 3, True),
        ((1, 64, 14, 14), 64, 3, False),  # small: Paddle's operator is faster
        ((1, 512, 14, 14), 512, 3, False),  # few pixels
        ((8, 3, 112, 112), 64, 3, False),  # few channels
        ((0, 64, 56, 56), 64, 3, False),
        ((8, 64, 56, 56), 64, 5, False),
    ],
)
def test_which_inputs_it_accepts(shape, out, size, accepted):
    x, weight = paddle.zeros(shape), paddle.zeros([out, shape[1], size, size])
    assert supports(x, weight) is accepted
    assert not supports(x.astype("float64"), weight.astype("float64"))
    assert not supports(x[..., None], weight) and not supports(x.flatten(), weight)
