"""Schedules against their formulas, optimizers against their update rules, and what they refuse."""

import math

import numpy as np
import paddle
import pytest

from ppface import optim
from ppface.core.config.spec import component
from ppface.core.config.value_check import Check
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import ConfigError
from ppface.core.registry import Kind


def rates(schedule, steps):
    found = []
    for _ in range(steps):
        found.append(schedule.get_lr())
        schedule.step()
    return found


def test_multi_step_counts_epochs_or_steps_from_the_first_step_on():
    by_epoch = rates(optim.MultiStep(1.0, [1, 3], steps_per_epoch=4, gamma=0.1), 14)
    assert by_epoch == pytest.approx([1.0] * 4 + [0.1] * 8 + [0.01] * 2)
    by_step = rates(optim.MultiStep(1.0, [2], steps_per_epoch=4, unit="step", warmup_steps=4, warmup_factor=0.5), 5)
    assert by_step == pytest.approx([0.5, 0.625, 0.075, 0.0875, 0.1])


def test_cosine_and_polynomial_follow_their_formulas():
    cosine = rates(optim.Cosine(0.4, total_steps=10, end=0.1), 12)
    assert cosine == pytest.approx([0.1 + 0.15 * (1 + math.cos(math.pi * min(i, 10) / 10)) for i in range(12)])
    polynomial = rates(optim.Polynomial(0.4, total_steps=10, power=2, end=0.1), 12)
    assert polynomial == pytest.approx([0.3 * (1 - min(i, 10) / 10) ** 2 + 0.1 for i in range(12)])
    assert rates(optim.Constant(0.3, warmup_steps=3), 5) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.3])


def step(make, gradient, weight=1.0, **options):
    parameter = paddle.create_parameter([1], "float32", default_initializer=paddle.nn.initializer.Constant(weight))
    optimizer = make(parameters=[parameter], steps_per_epoch=1, total_steps=2, **options)
    for _ in range(2):
        (parameter * gradient).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
    return parameter.item()


def test_two_steps_of_each_optimizer_by_hand():
    assert step(optim.SGD, 2.0, learning_rate=0.1) == pytest.approx(1 - 0.2 - 0.2)
    assert step(optim.SGD, 2.0, learning_rate=0.1, weight_decay=0.5) == pytest.approx((1 - 0.25) - 0.1 * (2 + 0.5 * 0.75))
    assert step(optim.SGD, 2.0, learning_rate=0.1, clip_norm=0.5) == pytest.approx(1 - 0.05 - 0.05)
    assert step(optim.Momentum, 2.0, learning_rate=0.1, momentum=0.5) == pytest.approx(1 - 0.2 - 0.3)
    mean_square = [0.05 * 4, 0.95 * 0.05 * 4 + 0.05 * 4]
    expected = 1 - sum(0.1 * 2 / math.sqrt(value + 1e-6) for value in mean_square)
    assert step(optim.RMSProp, 2.0, learning_rate=0.1) == pytest.approx(expected, rel=1e-5)
    assert step(optim.Adam, 2.0, learning_rate=0.1) == pytest.approx(0.8, rel=1e-5)
    assert step(optim.AdamW, 2.0, learning_rate=0.1, weight_decay=0.5) == pytest.approx((1 * 0.95 - 0.1) * 0.95 - 0.1, rel=1e-5)


def built(text):
    check = Check(component, None)
    spec = component(Kind("optimizer"), parse(text, "o.yml"), "optimizer", check)
    assert not check.mistakes
    parameter = paddle.create_parameter([1], "float32")
    return spec(parameters=[parameter], steps_per_epoch=10, total_steps=100)


def test_yaml_nests_a_schedule_in_an_optimizer():
    optimizer = built("{name: RMSProp, learning_rate: {name: MultiStep, base: 0.5, milestones: [2]}}")
    assert isinstance(optimizer, paddle.optimizer.RMSProp)
    for _ in range(20):
        optimizer._learning_rate.step()
    assert optimizer.get_lr() == pytest.approx(0.05)
    assert built("{name: Adam, learning_rate: 1}").get_lr() == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: SGD, learning_rate: 0}", "o.yml:1: optimizer: expected learning_rate > 0, received 0.0"),
        ("{name: SGD, learning_rate: 1, clip_norm: 0}", "o.yml:1: optimizer: expected clip_norm > 0 or null, received 0.0"),
        (
            "{name: SGD, learning_rate: {name: MultiStep, base: 1, milestones: [3, 2]}}",
            "o.yml:1: optimizer.learning_rate: expected increasing milestones, at least 1, received [3, 2]",
        ),
        (
            "{name: SGD, learning_rate: {name: Cosine, base: 1, warmup_steps: -1}}",
            "o.yml:1: optimizer.learning_rate: expected warmup_steps >= 0 and warmup_factor in 0..1, received -1 and 0.0",
        ),
        ("{name: SGD, learning_rate: {name: Constant, base: -1}}", "o.yml:1: optimizer.learning_rate: expected base > 0, received -1.0"),
    ],
)
def test_numbers_out_of_range_are_named(text, message):
    with pytest.raises(ConfigError) as caught:
        built(text)
    assert str(caught.value) == message


def test_every_rate_is_finite_and_not_negative_over_a_long_run():
    for schedule in (optim.Cosine(1e-3, 1000, warmup_steps=50), optim.Polynomial(1e-3, 1000, warmup_steps=50)):
        values = np.array(rates(schedule, 1200))
        assert np.isfinite(values).all()
        assert (values >= 0).all()
