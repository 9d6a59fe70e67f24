"""Finds and reads the folders and label files of a data set, with messages that say what to do if one is missing; lists mistakes."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ppface.core.errors import DataError
from ppface.core.files.file_names import from_text, on_disk

Read = TypeVar("Read")
MAX_LISTED = 10  # mistakes that one error lists; the rest are counted


def folder(path: Path, owner: str, advice: str) -> Path:
    """The folder, if it exists; else an error whose message contains `owner` and `advice`."""
    path = Path(on_disk(path))
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise DataError(f"{owner}: expected a folder, but {path} {found}: {advice}")
    return path


def lines(path: Path, owner: str, advice: str) -> list[str]:
    """The lines of a text file, or of one compressed as `.gz`."""
    path = Path(on_disk(path))
    if not path.is_file():
        raise DataError(f"{owner}: no label file {path}: {advice}")
    try:
        data = path.read_bytes()
        text = from_text(gzip.decompress(data) if path.suffix == ".gz" else data, str(path), "a label file")
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: expected a label file in UTF-8 text: {error}") from None
    if not text.strip():
        raise DataError(f"{path}: an empty label file")
    return text.splitlines()


def numbers(text: str) -> list[float] | None:
    """The numbers of a line, or None if one of its words is not a number."""
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return None


def local(names: list[str], folder: Path) -> list[str]:
    """Paths of pictures under the folder, with slashes if they are of Windows: if the first with a backslash does not exist as it is."""
    foreign = next((name for name in names if "\\" in name), "")
    return [slashes(name) for name in names] if foreign and not exists(folder, foreign) else names


def slashes(path: str) -> str:
    """The path of a Windows machine with slashes."""
    return path.replace("\\", "/")


def exists(folder: Path, path: str) -> bool:
    """Whether the path, relative to the folder, is that of a file."""
    try:
        return (folder / path).is_file()
    except OSError:  # such as a name that is too long
        return False


def refuse(mistakes: Iterable[str]) -> None:
    """Raises one DataError that lists the first mistakes, if there are any, and counts the rest."""
    mistakes = list(mistakes)
    if mistakes:
        more = [f"... and {len(mistakes) - MAX_LISTED} more"] if len(mistakes) > MAX_LISTED else []
        raise DataError("\n".join([*mistakes[:MAX_LISTED], *more]))


def read_all(read: Callable[[int], Read], count: int) -> list[Read]:
    """`read(0)` to `read(count - 1)`; raises one DataError that lists those that cannot be read."""
    found, mistakes = [], []
    for index in range(count):
        try:
            found.append(read(index))
        except DataError as error:
            mistakes.append(str(error))
    refuse(mistakes)
    return found
