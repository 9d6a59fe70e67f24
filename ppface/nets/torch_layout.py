"""Conversion of PyTorch's names and layouts to Paddle's: batch norm statistics, PReLU slopes, linear layers, class centres.

Sources: https://pytorch.org/docs/stable/generated/torch.nn.Linear.html: weight [out, in]; Paddle's is [in, out].
"""

from collections.abc import Container

import numpy as np
from paddle import nn

DROPPED = ("num_batches_tracked",)  # buffers that Paddle's layers do not have
LAST = {"running_mean": "_mean", "running_var": "_variance", "weight": "_weight"}  # PyTorch -> Paddle


def our_name(name: str, state: Container[str]) -> str:
    """A name whose last part is PyTorch's, translated to Paddle's if the model has that name."""
    prefix, dot, last = name.rpartition(".")
    if name not in state and last in LAST and (ours := f"{prefix}{dot}{LAST[last]}") in state:
        return ours
    return name


def dropped(name: str) -> bool:
    """Whether Paddle has no equivalent of this buffer."""
    return name.rpartition(".")[2] in DROPPED


def our_array(theirs: str, ours: str, array: np.ndarray, layers: dict[str, nn.Layer]) -> np.ndarray:
    """The array in the layout of the model's layer.

    Args:
        theirs: name in the file.
        ours: name in the model.
        array: the file's array.
        layers: the model's layers by name.

    Shape:
        [out, in] -> [in, out] for the weight of nn.Linear, and for class centres named `weight` in the file, [C, D] -> [D, C]
    """
    layer, _, last = ours.rpartition(".")
    linear = last == "weight" and isinstance(layers.get(layer), nn.Linear)
    centres = last == "kernel" and theirs.rpartition(".")[2] == "weight"
    return np.ascontiguousarray(array.T) if array.ndim == 2 and (linear or centres) else array
