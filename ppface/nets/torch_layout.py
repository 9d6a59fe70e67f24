"""How PyTorch names and lays out what Paddle has too: batch norm's statistics, PReLU's slopes, linear layers, class centres.

Sources: https://pytorch.org/docs/stable/generated/torch.nn.Linear.html: weight [out, in]; Paddle's is [in, out].
"""

from collections.abc import Container

import numpy as np
from paddle import nn

UNKNOWN_HERE = ("num_batches_tracked",)  # what Paddle's layers have no place for
LAST = {"running_mean": "_mean", "running_var": "_variance", "weight": "_weight"}  # PyTorch -> Paddle


def our_name(name: str, state: Container[str]) -> str:
    """A name whose last part is PyTorch's, as Paddle has it where the model does."""
    owner, dot, last = name.rpartition(".")
    if name not in state and last in LAST and (ours := f"{owner}{dot}{LAST[last]}") in state:
        return ours
    return name


def dropped(name: str) -> bool:
    """Whether Paddle has no place for it."""
    return name.rpartition(".")[2] in UNKNOWN_HERE


def our_array(theirs: str, ours: str, array: np.ndarray, layers: dict[str, nn.Layer]) -> np.ndarray:
    """The array as the model's layer wants it.

    Args:
        theirs: its name in the file.
        ours: its name in the model.
        array: of the file.
        layers: of the model, by name.

    Shape:
        [out, in] -> [in, out] for the weight of nn.Linear, and for class centres that the file calls a weight, [C, D] -> [D, C]
    """
    owner, _, last = ours.rpartition(".")
    linear = last == "weight" and isinstance(layers.get(owner), nn.Linear)
    centres = last == "kernel" and theirs.rpartition(".")[2] == "weight"
    return np.ascontiguousarray(array.T) if array.ndim == 2 and (linear or centres) else array
