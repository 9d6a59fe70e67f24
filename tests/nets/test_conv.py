"""The depthwise layer: Paddle's names, numbers and start, and Paddle's operator wherever our kernels are not meant."""

import sys

import numpy as np
import paddle
import pytest
from paddle import nn

from ppface.nets.backbones import BlazeNet, MobileFaceNet
from ppface.nets.layers import ConvBN
from ppface.nets.layers.conv import Conv3x3, DepthwiseConv2D, convolution, convolved
from ppface.ops.cpu import compiler, depthwise, winograd


def layer(channels=4, size=3, stride=1) -> DepthwiseConv2D:
    return DepthwiseConv2D(channels, size, stride, size // 2, paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()))


@pytest.fixture
def calls(monkeypatch):
    """How often our kernels are taken."""
    seen, original = [], depthwise.depthwise_conv2d

    def counted(*arguments):
        seen.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(depthwise, "depthwise_conv2d", counted)
    return seen


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_it_is_paddles_layer(calls, size, stride):
    paddle.seed(1)
    ours = layer(4, size, stride)
    paddle.seed(1)
    plain = nn.Conv2D(
        4, 4, size, stride, size // 2, groups=4, weight_attr=paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()), bias_attr=False
    )
    assert list(ours.state_dict()) == list(plain.state_dict()) == ["weight"]
    np.testing.assert_array_equal(ours.weight.numpy(), plain.weight.numpy())
    found = []
    for one in (ours, plain):
        x = paddle.to_tensor(np.arange(2 * 4 * 11 * 9, dtype="float32").reshape([2, 4, 11, 9]) % 7 - 3)
        x.stop_gradient = False
        out = one(x)
        (out * out).sum().backward()
        found.append((out.numpy(), x.grad.numpy(), one.weight.grad.numpy()))
    assert len(calls) == 1
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * abs(want).max())


def test_the_networks_take_it():
    blaze = BlazeNet([[8, 8], [8, 16, 2]], [[16, 8, 16, 2]])
    assert [type(block.dw1[0].conv) for block in blaze.single_blocks] == [DepthwiseConv2D] * 2
    assert sum(isinstance(part, DepthwiseConv2D) for part in MobileFaceNet().sublayers()) == 16
    assert not any(isinstance(part, DepthwiseConv2D) for part in ConvBN(4, 8, 3, groups=4).sublayers() + ConvBN(4, 4, 3).sublayers())


def test_other_types_empty_batches_and_larger_kernels_take_paddles(calls):
    wide = layer(2, 9)
    assert wide(paddle.zeros([1, 2, 9, 9])).shape == [1, 2, 9, 9]
    assert layer()(paddle.zeros([0, 4, 8, 8])).shape == [0, 4, 8, 8]
    double = layer().to(dtype="float64")
    assert double(paddle.zeros([1, 4, 8, 8], "float64")).dtype == paddle.float64
    assert not calls


def test_a_static_graph_takes_paddles(calls):
    part = layer()
    part.eval()
    static = paddle.jit.to_static(part, input_spec=[paddle.static.InputSpec([None, 4, None, None], "float32")], full_graph=True)
    operators = [op.name() for op in static.forward.concrete_program.main_program.global_block().ops]
    assert "pd_op.depthwise_conv2d" in operators and not calls


def test_one_line_says_what_is_lost_without_numba(calls, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "numba", None)
    compiler.available.cache_clear()
    try:
        part = layer()
        for _ in range(2):
            part(paddle.zeros([1, 4, 8, 8]))
    finally:
        compiler.available.cache_clear()
    assert not calls
    assert [record.getMessage() for record in caplog.records] == [
        "Numba cannot be imported (import of numba halted; None in sys.modules): networks run on Paddle's operators, and a training step "
        'on a CPU takes up to three times as long; pip install "ppface[cpu]"'
    ]


def test_a_3x3_convolution_is_paddles_layer_by_another_algorithm(monkeypatch):
    paddle.seed(1)
    ours = convolution(8, 6, 3, 1, 1, paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()))
    paddle.seed(1)
    plain = nn.Conv2D(8, 6, 3, padding=1, weight_attr=paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()), bias_attr=False)
    assert type(ours) is Conv3x3 and list(ours.state_dict()) == list(plain.state_dict()) == ["weight"]
    np.testing.assert_array_equal(ours.weight.numpy(), plain.weight.numpy())
    used = []
    original = winograd.conv2d_3x3
    monkeypatch.setattr(winograd, "conv2d_3x3", lambda *both: used.append(both) or original(*both))
    x = paddle.randn([2, 8, 21, 18])
    want = plain(x).numpy()
    np.testing.assert_array_equal(ours(x).numpy(), want)  # too small a product
    assert not used
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    np.testing.assert_allclose(ours(x).numpy(), want, rtol=0, atol=1e-5 * abs(want).max())
    assert len(used) == 1


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_convolution_of_given_weights_is_paddles(monkeypatch, kernel, with_bias):
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    x, weight, bias = paddle.randn([2, 9, 17, 14]), paddle.randn([10, 9, kernel, kernel]), paddle.randn([10])
    found = []
    for function in (lambda *given: convolved(*given), lambda *given: nn.functional.conv2d(*given, padding=kernel // 2)):
        given = [t.detach() for t in (x, weight, *([bias] if with_bias else []))]
        for tensor in given:
            tensor.stop_gradient = False
        out = function(*given)
        (out * out).sum().backward()
        found.append([out.numpy(), *(tensor.grad.numpy() for tensor in given)])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * abs(want).max())


def test_other_convolutions_stay_paddles():
    attr = paddle.ParamAttr(initializer=nn.initializer.KaimingNormal())
    for kernel, stride, groups in [(3, 2, 1), (1, 1, 1), (5, 1, 1), (3, 1, 2)]:
        assert type(convolution(4, 8, kernel, stride, groups, attr)) is nn.Conv2D
