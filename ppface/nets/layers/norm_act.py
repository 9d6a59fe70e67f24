"""Batch norm and the following activation, as one operator where a network trains eagerly on a CPU."""

from collections.abc import Callable

import paddle
from paddle import nn

from ppface.nets.layers.fast import PReLU, eager_on_cpu
from ppface.ops.cpu.batch_norm_act import batch_norm_act, supports


def norm_act(x: paddle.Tensor, norm: nn.BatchNorm2D, act: Callable[[paddle.Tensor], paddle.Tensor], slope: float | None) -> paddle.Tensor:
    """act(norm(x)); updates norm's running mean and variance as Paddle does.

    Args:
        slope: factor of `act` for negative numbers, which keeps positive ones: 0 for ReLU, 1 for no activation. None: `act` is a PReLU with
            its own slopes, or another function, which is called after batch norm.

    Shape:
        (N, C, H, W) -> (N, C, H, W)
    """
    slopes = act._weight if slope is None and isinstance(act, PReLU) else None
    low = slope if slopes is None or slopes.shape[0] != x.shape[1] else slopes  # one slope for all channels has no kernel
    weight, bias = norm.weight, norm.bias
    trains = type(norm) is nn.BatchNorm2D and norm.training and eager_on_cpu(x)
    if low is None or weight is None or bias is None or not (trains and supports(x)):
        return act(norm(x))
    out, mean, variance = batch_norm_act(x, weight, bias, low, norm._epsilon)
    for running, batch in ((norm._mean, mean), (norm._variance, variance)):
        running.set_value(norm._momentum * running.numpy() + (1 - norm._momentum) * batch)
    return out


class NormActSequential(nn.Sequential):
    """nn.Sequential that runs batch norm and a following PReLU as one operator; same names, same results."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        layers = list(self)
        while layers:
            layer = layers.pop(0)
            if not isinstance(layer, nn.BatchNorm2D):
                x = layer(x)
            elif layers and isinstance(layers[0], PReLU):
                x = norm_act(x, layer, layers.pop(0), None)
            else:
                x = norm_act(x, layer, nn.Identity(), 1.0)
        return x
