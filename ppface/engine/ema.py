"""A running average of the weights; it is evaluated, and saved beside them."""

from collections.abc import Iterator
from contextlib import contextmanager

import paddle
from paddle import nn


class EMA:
    """Exponential moving average of all parameters and floating buffers, Polyak and Juditsky 1992, https://doi.org/10.1137/0330046.

        d_n = min(decay, (1 + n) / (10 + n));   average <- d_n * average + (1 - d_n) * weights,   after update number n

    Args:
        model: whose weights are averaged.
        decay: 0..1, e.g. 0.9998.

    Raises:
        ValueError: decay outside 0..1.
    """

    def __init__(self, model: nn.Layer, decay: float):
        if not 0.0 < decay < 1.0:
            raise ValueError(f"EMA: expected decay in 0..1, received decay={decay}")
        self.model, self.decay, self.updates = model, decay, 0
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @paddle.no_grad()
    def update(self) -> None:
        """Adds the model's present weights to the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].scale_(decay).add_(value * (1 - decay))
            else:
                self.average[name].set_value(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights; afterwards its own again."""
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    @paddle.no_grad()
    def _put(self, values: dict[str, paddle.Tensor]) -> None:
        for name, value in self.model.state_dict().items():
            value.set_value(values[name])
