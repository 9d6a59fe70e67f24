"""Model size: parameters, and multiply-adds of the forward pass for one picture."""

from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.vision.ops import DeformConv2D


def sizes(model: nn.Layer, size: tuple[int, int]) -> dict[str, dict[str, int]]:
    """{part of the model: {"parameters", "macs"}} with the "total" last; margin heads are used only in training and have no multiply-adds.

    Args:
        model: called with {"image": (1, 3, H, W) uint8}, like FaceModel.
        size: (height, width) of the picture.
    """
    macs = dict.fromkeys((name for name, _ in model.named_children()), 0)

    def count(part: str) -> Any:
        def add(layer: nn.Layer, _inputs: Any, output: paddle.Tensor) -> None:
            weights = layer.weight.shape  # (out, in / groups, h, w), or (in, out) of a linear layer
            macs[part] += output.size * (int(np.prod(weights[1:])) if len(weights) == 4 else weights[0])

        return add

    hooks = [
        layer.register_forward_post_hook(count(name))
        for name, part in model.named_children()
        for layer in part.sublayers(include_self=True)
        if isinstance(layer, nn.Conv2D | nn.Linear | DeformConv2D)
    ]
    run_once(model, size, hooks)
    found = {name: {"parameters": parameters(part), "macs": macs[name]} for name, part in model.named_children()}
    return found | {"total": {key: sum(part[key] for part in found.values()) for key in ("parameters", "macs")}}


def run_once(model: nn.Layer, size: tuple[int, int], hooks: list) -> None:
    """Calls the model with one black picture in evaluation mode, afterwards in its mode again, and removes the hooks."""
    training = model.training
    model.eval()
    with paddle.no_grad():
        model({"image": paddle.zeros([1, 3, *size], "uint8")})
    if training:
        model.train()
    for hook in hooks:
        hook.remove()


def parameters(layer: nn.Layer) -> int:
    """Number of parameters, frozen ones included, without the running statistics of batch norm, which Paddle lists among them."""
    found = dict(layer.named_parameters())
    return sum(int(one.size) for name, one in found.items() if name.rpartition(".")[2] not in ("_mean", "_variance"))
