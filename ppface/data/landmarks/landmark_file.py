"""Landmarks of many pictures in one text file: per line the path of a picture, then x y of each point."""

from pathlib import Path, PurePosixPath

import numpy as np

from ppface.core.errors import DataError
from ppface.data.loading import label_files


def read(path: Path, skip: int = 0, counts: tuple[int, ...] | None = (5, 68)) -> tuple[list[str], np.ndarray]:
    """Paths relative to the pictures' folder, and their points.

    A first line without any number is a header. Empty lines and lines that begin with `#` are ignored.

    Args:
        path: the file; may be .gz.
        skip: columns between the path and the first point, such as a score, >= 0.
        counts: numbers of points that a line may have; None: any, the same in all lines.

    Shape:
        N names, (N, K, 2)

    Raises:
        DataError: a line that is malformed, names a picture again, or has a path outside the folder; the message names the line.
    """
    points = "its" if counts is None else " or ".join(map(str, counts))
    advice = f"expected one line per picture: its path, then x y of {points} points, separated by commas, tabs or spaces"
    found: dict[str, list[float]] = {}
    numbers = 0
    for at, line in enumerate(label_files.lines(path, "landmarks", advice), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *words = _columns(line)
        values = label_files.numbers(" ".join(words[skip:]))
        if at == 1 and words and all(label_files.numbers(word) is None for word in words):
            continue
        if not name or values is None or not np.isfinite(values).all() or not _fits(len(values), counts):
            raise DataError(f"{path}:{at}: {advice}; received {_fault(words, skip)} in {line[:60]!r}")
        if numbers and len(values) != numbers:
            raise DataError(f"{path}:{at}: expected {numbers // 2} points as in the lines before, received {len(values) // 2}")
        if name in found:
            raise DataError(f"{path}:{at}: expected one line per picture, received a second one for {name}")
        check_name(name, f"{path}:{at}")
        found[name], numbers = values, len(values)
    if not found:
        raise DataError(f"{path}: expected at least one line of landmarks, found none: {advice}")
    return list(found), np.array(list(found.values())).reshape(len(found), -1, 2)


def check_name(name: str, where: str) -> None:
    """Raises a DataError that begins with `where` for the path of a picture outside the folder of the pictures."""
    path = PurePosixPath(label_files.slashes(name))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: expected a path inside the folder, received {name}")


def _fault(words: list[str], skip: int) -> str:
    """What is wrong behind the picture's path: the first word that is no finite number, else how many there are."""
    for column, word in enumerate(words[skip:], start=skip + 2):
        value = label_files.numbers(word)
        if not value or not np.isfinite(value).all():
            return f"{word!r} as column {column}"
    return f"{len(words[skip:])} numbers"


def _fits(numbers: int, counts: tuple[int, ...] | None) -> bool:
    return numbers > 0 and numbers % 2 == 0 and (counts is None or numbers // 2 in counts)


def _columns(line: str) -> list[str]:
    """Splits at commas, else at tabs, else at spaces, so that a path may contain the separators that are not used."""
    separator = next((mark for mark in (",", "\t") if mark in line), None)
    return [word.strip() for word in line.strip().split(separator)]
