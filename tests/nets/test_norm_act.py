"""Batch norm and its activation in one: numbers, running statistics and names are those of the two layers."""

import importlib

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from ppface.nets.layers.fast import PReLU
from ppface.nets.layers.norm_act import NormActSequential, norm_act


@pytest.fixture
def calls(monkeypatch):
    """How often our kernels are taken."""
    layer = importlib.import_module("ppface.nets.layers.norm_act")  # its package has a function of this name
    seen, ours = [], layer.batch_norm_act

    def counted(*arguments):
        seen.append(arguments)
        return ours(*arguments)

    monkeypatch.setattr(layer, "batch_norm_act", counted)
    return seen


@pytest.mark.parametrize(
    ("act", "slope"), [(PReLU(3), None), (F.relu, 0.0), (nn.Identity(), 1.0), (lambda x: paddle.maximum(x, 0.01 * x), 0.01)]
)
def test_two_steps_are_those_of_the_two_layers(rng, calls, act, slope):
    norms = nn.BatchNorm2D(3), nn.BatchNorm2D(3)
    for _ in range(2):
        x = paddle.to_tensor(rng.normal(1, 2, (4, 3, 9, 9)).astype("float32"))
        np.testing.assert_allclose(norm_act(x, norms[0], act, slope).numpy(), act(norms[1](x)).numpy(), atol=1e-5)
    assert len(calls) == 2
    for name, value in norms[0].state_dict().items():
        np.testing.assert_allclose(value.numpy(), norms[1].state_dict()[name].numpy(), rtol=1e-5, atol=1e-6)


def test_evaluation_and_other_activations_are_the_two_layers(calls):
    x, norm = paddle.randn([2, 3, 4, 4]), nn.BatchNorm2D(3)
    norm_act(x, norm, F.hardswish, None)
    norm.eval()
    assert (norm_act(x, norm, F.relu, 0.0).numpy() == F.relu(norm(x)).numpy()).all() and not calls


def test_in_a_row_of_layers_the_names_stay(rng, calls):
    layers = [nn.BatchNorm2D(3), nn.Conv2D(3, 3, 1), nn.BatchNorm2D(3), PReLU(3), nn.BatchNorm2D(3)]
    x = paddle.to_tensor(rng.normal(size=(2, 3, 5, 5)).astype("float32"))
    plain, ours = nn.Sequential(*layers), NormActSequential(*layers)
    assert list(plain.state_dict()) == list(ours.state_dict())
    np.testing.assert_allclose(ours(x).numpy(), plain(x).numpy(), atol=1e-5)
    assert len(calls) == 3


def test_a_single_value_per_channel_is_left_alone_as_by_paddle():
    x = paddle.to_tensor([[[[2.0]], [[-3.0]]]])
    ours, theirs = nn.BatchNorm2D(2), nn.BatchNorm2D(2)
    out = norm_act(x, ours, nn.functional.relu, 0.0)
    np.testing.assert_array_equal(out.numpy(), nn.functional.relu(theirs(x)).numpy())
    np.testing.assert_array_equal(out.numpy().ravel(), [2, 0])
    assert not ours._mean.numpy().any() and (ours._variance.numpy() == 1).all()
