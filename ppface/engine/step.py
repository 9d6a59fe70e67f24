"""One training step as one layer: the model and its losses together, so that processes average the gradients of both."""

from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from ppface.core.errors import ConfigError


class Step(nn.Layer):
    """From a batch to its named losses: `outputs = model(batch)`, then every loss over `(outputs, batch)`.

    Names of parameters and layers, in checkpoints and messages: the model's own (`backbone.conv1.weight`), and `loss.0.centers` for
    what belongs to the first loss.

    Args:
        model: batch -> outputs by name.
        losses: layers (outputs, batch) -> {"name": scalar}, already weighted. They may own parameters, buffers and networks.
        places: where each loss is written in the config, for messages.

    Shape:
        batch -> {"name": scalar}

    Raises:
        ConfigError: two losses that return a value of the same name.
    """

    def __init__(self, model: nn.Layer, losses: Sequence[nn.Layer], places: Sequence[str] = ()):
        super().__init__()
        self.model, self.loss = model, nn.LayerList(losses)
        self.places = list(places) or [f"loss.{i}" for i in range(len(self.loss))]

    def forward(self, batch: dict[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        outputs = self.model(batch)
        values: dict[str, paddle.Tensor] = {}
        owners: dict[str, str] = {}
        for place, loss in zip(self.places, self.loss, strict=True):
            for name, value in loss(outputs, batch).items():
                if name in values:
                    who = type(loss).__name__
                    raise ConfigError([f"{place}: {who} returns a loss named '{name}', and so does {owners[name]}: remove one of them"])
                values[name], owners[name] = value, place
        return values

    def train(self, mode: bool = True) -> "Step":
        """Training mode for all but what `model.freeze` names: Paddle sets the mode of sublayers without asking them."""
        super().train(mode)
        self.model.train(mode)
        return self

    def learned(self) -> list[paddle.Tensor]:
        """The parameters that the optimizer updates."""
        return [parameter for parameter in self.parameters() if not parameter.stop_gradient]

    def parameter_names(self) -> dict[str, str]:
        """Paddle's global name of each parameter -> its name in checkpoints and messages."""
        return {parameter.name: name.removeprefix("model.") for name, parameter in self.named_parameters()}

    def shards(self) -> dict[str, Any]:
        """The tensors that are spread over processes, by name; see ppface/core/files/shards.py."""
        return {name.removeprefix("model."): value for name, value in self.state_dict().items() if hasattr(value, "shard")}

    def frozen_networks(self) -> dict[str, dict[str, str]]:
        """Where each frozen network inside the model or a loss was loaded from: name -> {"source": path, "sha256": digest}."""
        found = {name: getattr(layer, "loaded_from", None) for name, layer in self.named_sublayers()}
        return {name.removeprefix("model."): dict(origin) for name, origin in found.items() if origin}
