"""Layers with kernels for CPUs: names and start of Paddle's layers, and its operators wherever the kernels do not apply."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppface.nets.layers.fast import DepthwiseConv2D, PReLU
from ppface.ops.cpu import depthwise, prelu


@pytest.fixture
def counted(monkeypatch):
    """Names of the kernels that were called."""
    calls = []
    for module, name in ((depthwise, "_DepthwiseConv2D"), (prelu, "_PReLU")):
        plain = getattr(module, name).apply
        monkeypatch.setattr(getattr(module, name), "apply", lambda *given, plain=plain, name=name: (calls.append(name), plain(*given))[1])
    return calls


@pytest.mark.parametrize(("side", "stride", "kernel"), [(3, 1, True), (5, 2, True), (7, 1, True), (9, 1, False), (3, 3, False)])
def test_a_depthwise_convolution_is_paddles(rng, counted, side, stride, kernel):
    pytest.importorskip("numba", reason="the kernels need Numba")
    paddle.seed(0)
    ours = DepthwiseConv2D(4, side, stride)
    paddle.seed(0)
    theirs = nn.Conv2D(4, 4, side, stride, side // 2, groups=4, weight_attr=nn.initializer.KaimingNormal(), bias_attr=False)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    np.testing.assert_array_equal(ours.weight.numpy(), theirs.weight.numpy())
    x = paddle.to_tensor(rng.normal(size=(2, 4, 11, 14)).astype("float32"))
    with paddle.no_grad():
        np.testing.assert_allclose(ours(x).numpy(), theirs(x).numpy(), rtol=1e-5, atol=1e-6)
    assert bool(counted) == kernel


def test_other_types_and_empty_batches_get_paddles_operator(counted):
    for layer in (DepthwiseConv2D(4, 3), PReLU(4)):
        assert layer(paddle.zeros([0, 4, 8, 8])).shape == [0, 4, 8, 8]
        layer.to(dtype="float64")
        assert layer(paddle.ones([1, 4, 8, 8], "float64")).dtype == paddle.float64
    assert not counted


def test_a_static_graph_has_paddles_operators(counted):
    layer = nn.Sequential(DepthwiseConv2D(4, 3), PReLU(4))
    static = paddle.jit.to_static(layer, input_spec=[paddle.static.InputSpec([None, 4, None, None], "float32")], full_graph=True)
    x = paddle.randn([2, 4, 8, 8])
    with paddle.no_grad():
        outputs = static(x).numpy()
    assert not counted
    np.testing.assert_allclose(layer(x).numpy(), outputs, rtol=1e-5, atol=1e-5)
