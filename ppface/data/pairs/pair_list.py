"""Pairs from a plain list: two pictures and whether they show one person."""

from collections.abc import Iterator
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pairs.file_pairs import FilePairs, Row, folder, lines


@register("pairs")
class PairList(FilePairs):
    """A text file with lines `a.jpg b.jpg 1`, or `1 a.jpg b.jpg` as the `lfw_ann.txt` files in circulation have it.

    Source: the protocol is that of LFW, http://vis-www.cs.umass.edu/lfw/README.txt, view 2, on pairs of one's own.

    Fields are parted by tabs, or by spaces where the line has no tab; 1 means one person, 0 two.

    Args:
        pairs: the file.
        images: folder that the names are relative to.
        folds: into how many folds the lines are cut, in their order, >= 2. Every fold needs pairs of both classes.

    Shape:
        one pair a line

    Raises:
        DataError: a missing file, folder or picture, or a line of another form.
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
            raise DataError(f"{where}: expected 'a.jpg b.jpg 1' or '1 a.jpg b.jpg' (0: two people), received {text[:60]!r}")
