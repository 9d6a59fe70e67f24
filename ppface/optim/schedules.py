"""Learning-rate schedules, one value per optimizer step, each with an optional linear warm-up.

During the first `warmup_steps` steps the schedule's own value is multiplied by a factor that grows linearly from `warmup_factor` to 1; the
schedule counts from the first step of training, warm-up included (Paddle's own LinearWarmup would shift the milestones by the warm-up).

Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2.2 (gradual warm-up).
Shape: step number -> learning rate, a scalar.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from paddle.optimizer.lr import LambdaDecay, LRScheduler

from ppface.core.registry import Supplied, register

StepsPerEpoch = Annotated[int, Supplied("by the training data")]
TotalSteps = Annotated[int, Supplied("by the trainer")]


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"expected {name} > 0, received {value}")


def _schedule(base: float, share: Callable[[int], float], warmup_steps: int, warmup_factor: float) -> LRScheduler:
    """base * share(step) with warm-up. LambdaDecay saves only the step, so that a resumed run follows the schedule of its config."""
    if warmup_steps < 0 or not 0 <= warmup_factor <= 1:
        raise ValueError(f"expected warmup_steps >= 0 and warmup_factor in 0..1, received {warmup_steps} and {warmup_factor}")

    def factor(step: int) -> float:
        if step >= warmup_steps:
            return share(step)
        return share(step) * (warmup_factor + (1 - warmup_factor) * step / warmup_steps)

    schedule: Any = LambdaDecay(base, factor)
    schedule.warmup_steps = warmup_steps  # the trainer compares it with the length of the run
    return schedule


@register("schedule")
def Constant(base: float, warmup_steps: int = 0, warmup_factor: float = 0.0) -> LRScheduler:
    """The same learning rate throughout. Source, Shape: see the module.

    Args:
        base: learning rate, > 0.
        warmup_steps: steps of the linear warm-up.
        warmup_factor: factor at the first warm-up step, 0..1.

    Raises:
        ValueError: values outside these ranges.
    """
    _positive(base=base)
    return _schedule(base, lambda step: 1.0, warmup_steps, warmup_factor)


@register("schedule")
def MultiStep(
    base: float,
    milestones: list[int],
    steps_per_epoch: StepsPerEpoch,
    gamma: float = 0.1,
    unit: Literal["epoch", "step"] = "epoch",
    warmup_steps: int = 0,
    warmup_factor: float = 0.0,
) -> LRScheduler:
    """`base`, multiplied by `gamma` at each milestone. Source, Shape: see the module.

    Args:
        base: learning rate, > 0.
        milestones: increasing, in `unit`s.
        gamma: factor at each milestone, > 0.
        unit: what milestones count.
        warmup_steps: steps of the linear warm-up.
        warmup_factor: factor at the first warm-up step, 0..1.

    Raises:
        ValueError: values outside these ranges.
    """
    _positive(base=base, gamma=gamma)
    if not milestones or sorted(set(milestones)) != list(milestones) or milestones[0] < 1:
        raise ValueError(f"expected increasing milestones, at least 1, received {milestones}")
    scale = steps_per_epoch if unit == "epoch" else 1
    return _schedule(base, lambda step: gamma ** sum(step >= m * scale for m in milestones), warmup_steps, warmup_factor)


@register("schedule")
def Cosine(base: float, total_steps: TotalSteps, end: float = 0.0, warmup_steps: int = 0, warmup_factor: float = 0.0) -> LRScheduler:
    """Half a cosine from `base` to `end`, Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, equation 5. Shape: see the module.

    Args:
        base: learning rate, > 0.
        end: learning rate at the last step, >= 0.
        warmup_steps: steps of the linear warm-up.
        warmup_factor: factor at the first warm-up step, 0..1.

    Raises:
        ValueError: values outside these ranges.
    """
    _positive(base=base)
    low = end / base

    def share(step: int) -> float:
        return low + (1 - low) * (1 + math.cos(math.pi * min(step / total_steps, 1.0))) / 2

    return _schedule(base, share, warmup_steps, warmup_factor)


@register("schedule")
def Polynomial(
    base: float, total_steps: TotalSteps, power: float = 2.0, end: float = 0.0, warmup_steps: int = 0, warmup_factor: float = 0.0
) -> LRScheduler:
    """(base - end) * (1 - step/total)^power + end, as in An et al. 2022, https://arxiv.org/abs/2203.15565. Shape: see the module.

    Args:
        base: learning rate, > 0.
        power: exponent, > 0.
        end: learning rate at the last step, >= 0.
        warmup_steps: steps of the linear warm-up.
        warmup_factor: factor at the first warm-up step, 0..1.

    Raises:
        ValueError: values outside these ranges.
    """
    _positive(base=base, power=power)
    low = end / base
    return _schedule(base, lambda step: low + (1 - low) * (1 - min(step / total_steps, 1.0)) ** power, warmup_steps, warmup_factor)
