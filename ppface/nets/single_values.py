"""Finds batch norm layers with a single value per channel in training: Paddle returns it unchanged, their statistics stay 0 and 1."""

from typing import Any

from paddle import nn

from ppface.nets.size import run_once


def single_value_norms(model: nn.Layer, size: tuple[int, int], pictures: int) -> list[str]:
    """Names of the trained batch norm layers in which a batch has one value per channel.

    Args:
        model: called with {"image": (1, 3, H, W) uint8} in evaluation mode, afterwards in its mode again.
        size: (height, width) of training pictures.
        pictures: of a batch in one process; with more than one there is no such layer, and nothing is computed.
    """
    if pictures > 1:
        return []
    found: list[str] = []

    def look(name: str) -> Any:
        def note(layer: Any, inputs: tuple) -> None:
            if inputs[0].size == layer._mean.size:
                found.append(name)

        return note

    norms = {name: layer for name, layer in model.named_sublayers() if layer.training and hasattr(layer, "_variance")}
    hooks = [layer.register_forward_pre_hook(look(name)) for name, layer in norms.items()]
    run_once(model, size, hooks)
    return found
