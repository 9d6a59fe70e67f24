"""The pairs of LFW's protocol file, `pairs.txt`."""

from collections.abc import Iterator
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pairs.file_pairs import FilePairs, Row, folder, lines

DEFAULT_FOLDS = 10  # if the file does not say


@register("pairs")
class LfwPairs(FilePairs):
    """LFW's `pairs.txt`: Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/README.txt.

    Its first line is the number of folds and of pairs per class in each (`10 300`); then `name number number` is a pair of one person and
    `name number name number` one of two people. A single number (`pairsDevTest.txt`: 500) means one set, first all pairs of one person,
    then all of two: it is split into ten folds, each with a tenth of both in the file's order.

    Args:
        pairs: the file.
        images: folder of the pictures, as `Abel_Pacheco/Abel_Pacheco_0001.jpg`.
        suffix: ending of the picture files.

    Shape:
        6,000 pairs of 7,701 pictures in ten folds for LFW's file

    Raises:
        DataError: a missing file, folder or picture, a malformed line, or another number of pairs than in the first line.
    """

    def __init__(self, pairs: str, images: str, suffix: str = ".jpg"):
        path = Path(pairs)
        source = lines(path)
        where, head = next(source, (f"{path}:1", ""))
        numbers = head.split()
        if not (1 <= len(numbers) <= 2 and all(word.isdecimal() and int(word) > 0 for word in numbers)):
            raise DataError(f"{where}: expected 'folds pairs' as in LFW's pairs.txt (10 300), received {head[:60]!r}")
        folds, each = (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (1, int(numbers[0]))
        rows = list(_rows(source, folder(images), suffix))
        if rows and len(rows) != 2 * folds * each:
            raise DataError(f"{path}: expected {2 * folds * each} pairs according to its first line, received {len(rows)}")
        super().__init__(_alternating(rows, path) if folds == 1 else rows, folds if folds > 1 else DEFAULT_FOLDS, path)


def _alternating(rows: list[Row], path: Path) -> list[Row]:
    """Alternates pairs of one person and of two, so that folds of consecutive pairs contain both."""
    same, different = ([row for row in rows if row.issame == wanted] for wanted in (True, False))
    if len(same) != len(different):
        raise DataError(f"{path}: expected as many pairs of one person as of two, received {len(same)} and {len(different)}")
    return [row for pair in zip(same, different, strict=True) for row in pair]


def _rows(source: Iterator[tuple[str, str]], images: Path, suffix: str) -> Iterator[Row]:
    for where, text in source:
        words = text.split("\t") if "\t" in text else text.split()
        numbers = words[1:] if len(words) == 3 else words[1::2]
        if len(words) not in (3, 4) or not all(word.strip().isdecimal() for word in numbers):
            raise DataError(f"{where}: expected 'name number number' or 'name number name number', received {text[:60]!r}")
        names = (words[0], words[0] if len(words) == 3 else words[2])
        files = [images / name / f"{name}_{int(number):04d}{suffix}" for name, number in zip(names, numbers, strict=True)]
        yield Row(files[0], files[1], len(words) == 3, where)
