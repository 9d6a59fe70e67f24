"""The optimizers of paddle.optimizer, with annotations for checking YAML.

All take `learning_rate` as a number or a schedule, `weight_decay` as the factor of an L2 penalty on every parameter (AdamW: decoupled, as
in Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) and `clip_norm`, the largest global gradient norm (null: no clipping).

Source: the update rules are Paddle's, https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/optimizer/Overview_en.html
Shape: every parameter keeps its shape.
"""

from collections.abc import Callable
from typing import Annotated, Any

import paddle
from paddle.optimizer.lr import LRScheduler

from ppface.core.registry import Kind, Supplied, register
from ppface.optim import column_updates

Parameters = Annotated[list, Supplied("by the model")]
StepsPerEpoch = Annotated[int, Supplied("by the training data")]
TotalSteps = Annotated[int, Supplied("by the trainer")]
Rate = float | Annotated[Callable[..., LRScheduler], Kind("schedule")]


def _common(rate: Any, parameters: list, steps_per_epoch: int, total_steps: int, weight_decay: float, clip_norm: float | None) -> dict:
    if isinstance(rate, float) and not rate > 0:
        raise ValueError(f"expected learning_rate > 0, received {rate}")
    if clip_norm is not None and clip_norm <= 0:
        raise ValueError(f"expected clip_norm > 0 or null, received {clip_norm}")
    return {
        "learning_rate": rate(steps_per_epoch=steps_per_epoch, total_steps=total_steps) if callable(rate) else rate,
        "parameters": parameters,
        "weight_decay": weight_decay or None,
        "grad_clip": None if clip_norm is None else paddle.nn.ClipGradByGlobalNorm(clip_norm),
    }


@register("optimizer")
def SGD(
    parameters: Parameters,
    steps_per_epoch: StepsPerEpoch,
    total_steps: TotalSteps,
    learning_rate: Rate,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> paddle.optimizer.SGD:
    """Plain stochastic gradient descent: p <- p - lr * g. Source, Shape: see the module.

    Raises:
        ValueError: a learning rate or clip_norm that is not positive.
    """
    return column_updates.SGD(**_common(learning_rate, parameters, steps_per_epoch, total_steps, weight_decay, clip_norm))


@register("optimizer")
def Momentum(
    parameters: Parameters,
    steps_per_epoch: StepsPerEpoch,
    total_steps: TotalSteps,
    learning_rate: Rate,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> paddle.optimizer.Momentum:
    """Gradient descent with momentum: v <- momentum * v + g; p <- p - lr * v. Source, Shape: see the module.

    Raises:
        ValueError: a learning rate or clip_norm that is not positive.
    """
    common = _common(learning_rate, parameters, steps_per_epoch, total_steps, weight_decay, clip_norm)
    return column_updates.Momentum(momentum=momentum, use_nesterov=nesterov, **common)


@register("optimizer")
def RMSProp(
    parameters: Parameters,
    steps_per_epoch: StepsPerEpoch,
    total_steps: TotalSteps,
    learning_rate: Rate,
    rho: float = 0.95,
    epsilon: float = 1e-6,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> paddle.optimizer.RMSProp:
    """RMSProp: r <- rho * r + (1 - rho) * g^2; p <- p - lr * g / sqrt(r + epsilon). Source, Shape: see the module.

    Raises:
        ValueError: a learning rate or clip_norm that is not positive.
    """
    common = _common(learning_rate, parameters, steps_per_epoch, total_steps, weight_decay, clip_norm)
    return column_updates.RMSProp(rho=rho, epsilon=epsilon, momentum=momentum, centered=centered, **common)


@register("optimizer")
def Adam(
    parameters: Parameters,
    steps_per_epoch: StepsPerEpoch,
    total_steps: TotalSteps,
    learning_rate: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> paddle.optimizer.Adam:
    """Adam, Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1. Shape: see the module.

    Raises:
        ValueError: a learning rate or clip_norm that is not positive.
    """
    common = _common(learning_rate, parameters, steps_per_epoch, total_steps, weight_decay, clip_norm)
    return column_updates.Adam(beta1=beta1, beta2=beta2, epsilon=epsilon, **common)


@register("optimizer")
def AdamW(
    parameters: Parameters,
    steps_per_epoch: StepsPerEpoch,
    total_steps: TotalSteps,
    learning_rate: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    clip_norm: float | None = None,
) -> paddle.optimizer.AdamW:
    """AdamW, Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2. Shape: see the module.

    Raises:
        ValueError: a learning rate or clip_norm that is not positive.
    """
    common = _common(learning_rate, parameters, steps_per_epoch, total_steps, weight_decay, clip_norm) | {"weight_decay": weight_decay}
    return column_updates.AdamW(beta1=beta1, beta2=beta2, epsilon=epsilon, **common)
