"""Landmarks of many pictures in one text file: a line a picture, its path and then x y of each point."""

from pathlib import Path, PurePosixPath

import numpy as np

from ppface.core.errors import DataError
from ppface.data.loading import label_files

ADVICE = "expected a line a picture: its path, then x y of 5 or 68 points, all separated by commas, tabs or blanks"


def read(path: Path, skip: int = 0) -> tuple[list[str], np.ndarray]:
    """Paths relative to the pictures' folder, and their points.

    A first line without numbers is a heading. Empty lines and lines that begin with `#` do not count.

    Args:
        path: the file; may be .gz.
        skip: columns between the path and the first point, such as a score, >= 0.

    Shape:
        N names, (N, 5 or 68, 2)

    Raises:
        DataError: with the line that is not in this format, names a picture twice, or leads out of the folder.
    """
    found: dict[str, list[float]] = {}
    numbers = 0
    for at, line in enumerate(label_files.lines(path, "landmarks", ADVICE), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *words = _columns(line)
        values = label_files.numbers(" ".join(words[skip:]))
        if values is None and at == 1:
            continue
        if values is None or len(values) not in (10, 136) or not np.isfinite(values).all():
            raise DataError(f"{path}:{at}: {ADVICE}; received {line[:60]!r}")
        if numbers and len(values) != numbers:
            raise DataError(f"{path}:{at}: expected {numbers // 2} points as before, received {len(values) // 2}")
        if name in found:
            raise DataError(f"{path}:{at}: a second line for {name}")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DataError(f"{path}:{at}: expected a path inside the folder, received {name}")
        found[name], numbers = values, len(values)
    if not found:
        raise DataError(f"{path}: no landmarks in it: {ADVICE}")
    return list(found), np.array(list(found.values())).reshape(len(found), -1, 2)


def _columns(line: str) -> list[str]:
    """Commas win over tabs, tabs over blanks: so a path may hold what wins less."""
    separator = next((mark for mark in (",", "\t") if mark in line), None)
    return [word.strip() for word in line.strip().split(separator)]
