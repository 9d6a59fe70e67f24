"""Paths in the user's home folder: those that configs and options begin with `~/`, and the folder where ppface keeps downloads."""

import os
from pathlib import Path

HOME = "PPFACE_HOME"  # environment variable


def expand_home(path: str) -> str:
    """The path with `~` at its start replaced by the home folder; any other text unchanged."""
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def ppface_home() -> Path:
    """The folder of what ppface downloads: PPFACE_HOME, else `ppface` in the user's cache folder."""
    if os.environ.get(HOME):
        return Path(expand_home(os.environ[HOME]))
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ppface")  # noqa: PTH111  (never raises)
