"""Base class of pair sets in text files, whose lines name two picture files each."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import from_text, on_disk
from ppface.data.pictures.picture import Picture


class Row(NamedTuple):
    """One pair and the line that names it, as `pairs.txt:17`."""

    first: Path
    second: Path
    issame: bool
    where: str


class FilePairs:
    """Pairs of picture files; a file that occurs in several pairs is one picture.

    Args:
        rows: all pairs in order.
        folds: number of folds of the protocol.
        source: the list file, for messages.

    Raises:
        DataError: no pairs, or missing pictures; the message names the first one and its line.
    """

    def __init__(self, rows: Iterable[Row], folds: int, source: Path):
        rows = list(rows)
        if not rows:
            raise DataError(f"{source}: expected at least one pair, found none")
        lines: dict[Path, str] = {}
        for row in rows:
            lines.setdefault(row.first, row.where)
            lines.setdefault(row.second, row.where)
        missing = [path for path in lines if not path.is_file()]
        if missing:
            count = f"{len(missing)} of {len(lines)} pictures of the pairs are missing"
            raise DataError(f"{lines[missing[0]]}: no such picture file {missing[0]}; {count}")
        self.files = list(lines)
        number = {path: i for i, path in enumerate(self.files)}
        self.first = np.array([number[row.first] for row in rows])
        self.second = np.array([number[row.second] for row in rows])
        self.issame = np.array([row.issame for row in rows])
        self.folds = folds

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, index: int) -> Picture:
        return Picture.open(self.files[index])


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(`pairs.txt:17`, text) of every line that is not empty.

    Raises:
        DataError: a missing file, or one that is not text.
    """
    try:
        text = from_text(Path(on_disk(path)).read_bytes(), str(path), "a list of pairs")
    except OSError as error:
        raise DataError(f"{path}: cannot read this list of pairs: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def folder(path: str) -> Path:
    """The path of a folder of pictures.

    Raises:
        DataError: no such folder.
    """
    found = Path(on_disk(path))
    if not found.is_dir():
        raise DataError(f"{path}: no such folder; expected the pictures of the pairs")
    return found
