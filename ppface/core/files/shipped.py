"""Where the folders `configs` and `deploy` are: inside the package where a wheel was installed, beside it in the sources."""

from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).resolve().parents[2]


def folder(name: Literal["configs", "deploy"]) -> Path:
    """The folder of this name that belongs to this ppface."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
