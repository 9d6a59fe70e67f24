"""Pairs from a text list: two pictures and whether they show the same person."""

from collections.abc import Iterator
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pairs.file_pairs import FilePairs, Row, folder, lines


@register("pairs")
class PairList(FilePairs):
    """A text file with lines `a.jpg b.jpg 1`, or `1 a.jpg b.jpg` the form of published `lfw_ann.txt` files.

    Source: the protocol is that of LFW, http://vis-www.cs.umass.edu/lfw/README.txt, view 2, on custom pairs.

    Fields are separated by tabs, or by spaces if the line has no tab; 1 means the same person, 0 different people.

    Args:
        pairs: the file.
        images: folder that the names are relative to.
        folds: number of folds, of consecutive lines, >= 2. Each fold needs pairs of both classes.

    Shape:
        one pair per line

    Raises:
        DataError: a missing file, folder or picture, or a malformed line.
        ValueError: fewer than two folds.
    """

    def __init__(self, pairs: str, images: str, folds: int = 10):
        if folds < 2:
            raise ValueError(f"PairList: expected at least two folds, received {folds}")
        super().__init__(_rows(Path(pairs), folder(images)), folds, Path(pairs))


def _rows(path: Path, images: Path) -> Iterator[Row]:
    for where, text in lines(path):
        words = [word.strip() for word in (text.split("\t") if "\t" in text else text.split())]
        if len(words) == 3 and words[2] in ("0", "1"):
            yield Row(images / words[0], images / words[1], words[2] == "1", where)
        elif len(words) == 3 and words[0] in ("0", "1"):
            yield Row(images / words[1], images / words[2], words[0] == "1", where)
        else:
            raise DataError(f"{where}: expected 'a.jpg b.jpg 1' or '1 a.jpg b.jpg' (0: different people), received {text[:60]!r}")
