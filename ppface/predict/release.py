"""Writes a released model: its config and weights without anything of its training, to be used, exported or fine-tuned elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from paddle import nn

from ppface.core.config.run_config import CONFIG
from ppface.core.config.spec import Spec
from ppface.core.files.checkpoint_files import WEIGHTS
from ppface.core.files.safetensors_file import pieces
from ppface.nets.weights import training_only


def write(model: nn.Layer, config: Spec, folder: Path, half: bool = False) -> None:
    """Writes config.yml, of which only `model` is kept, and weights.safetensors.

    Args:
        model: with its weights; those of layers with `training_only = True` are left out.
        config: of the run.
        folder: exists.
        half: float16 for arrays of two and more dimensions, which are nearly all of a network; biases and batch norms stay float32.
    """
    left_out = training_only(model)
    arrays = {name: _stored(value, half) for name, value in model.state_dict().items() if not name.startswith(left_out)}
    with (folder / WEIGHTS).open("xb") as file:
        file.writelines(pieces(arrays))
    (folder / CONFIG).write_text(yaml.safe_dump({"model": config["model"].plain()}, sort_keys=False), encoding="utf-8")


def _stored(value: Any, half: bool) -> np.ndarray:
    array = np.asarray(value)
    return array.astype(np.float16) if half and array.ndim > 1 and array.dtype == np.float32 else array
