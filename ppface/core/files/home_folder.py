"""Paths in the user's home folder, which configs and options may begin with `~/`."""

from pathlib import Path


def expand_home(path: str) -> str:
    """The path with `~` at its start replaced by the home folder; any other text unchanged."""
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path
