"""Released models: a folder with config.yml and weights.safetensors, as ppface release writes it; ppface has one, `builtin`."""

import os
from pathlib import Path

BUILTIN = "builtin"
FOLDER = Path(__file__).resolve().parents[2] / "weights"


def located(source: str | os.PathLike) -> Path:
    """The path of a model: `builtin` is the detector that ppface contains, a folder of this name in the working folder is `./builtin`."""
    return FOLDER / BUILTIN if os.fspath(source) == BUILTIN else Path(source)
