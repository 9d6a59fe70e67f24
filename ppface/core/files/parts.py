"""The arrays of a long computation in parts, files written completely or not at all, so that an interrupted one continues after them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.run.log import log

Arrays = Mapping[str, Any]  # name -> array


def kept(part: Path, compute: Callable[[], Arrays], complete: Callable[[Arrays], bool]) -> Arrays:
    """The arrays of a part: those in its file; where it does not exist or is damaged they are computed and written.

    Args:
        part: the .npz file.
        compute: makes the arrays.
        complete: whether arrays from a file are those of this part.

    Raises:
        DataError: the file cannot be written.
    """
    found = _complete(part, complete)
    if found is None:
        found = compute()
        write_atomically(part, lambda file: np.savez(file, **found))
    return found


def _complete(part: Path, complete: Callable[[Arrays], bool]) -> Arrays | None:
    try:
        with part.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        return arrays if complete(arrays) else None
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged archive can fail in any way
        log.warning("%s: damaged (%s); computing it again", part, error)
        return None


def names(part: Path) -> list[str]:
    """The names of a part's arrays."""
    with part.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return list(arrays)


def read(part: Path, name: str) -> np.ndarray:
    """One array of a part."""
    with part.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays[name]


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file to a temporary one that is then renamed.

    Raises:
        DataError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot write it: {error.strerror}") from None
