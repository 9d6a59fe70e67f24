"""The pairs of LFW's own protocol file, `pairs.txt`."""

from collections.abc import Iterator
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pairs.file_pairs import FilePairs, Row, folder, lines


@register("pairs")
class LfwPairs(FilePairs):
    """LFW's `pairs.txt`: Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/README.txt.

    Its first line says folds and pairs a class in each (`10 300`; one number means one set, cut into ten folds); then
    `name number number` is a pair of one person and `name number name number` one of two.

    Args:
        pairs: the file.
        images: folder of the pictures, as `Abel_Pacheco/Abel_Pacheco_0001.jpg`.
        suffix: ending of the picture files.

    Shape:
        6,000 pairs of 7,701 pictures in ten folds, where the file is LFW's

    Raises:
        DataError: a missing file, folder or picture, or a line of another form.
    """

    def __init__(self, pairs: str, images: str, suffix: str = ".jpg"):
        path = Path(pairs)
        source = lines(path)
        where, head = next(source, (f"{path}:1", ""))
        numbers = head.split()
        if not (1 <= len(numbers) <= 2 and all(word.isdecimal() and int(word) > 0 for word in numbers)):
            raise DataError(f"{where}: expected 'folds pairs' as in LFW's pairs.txt (10 300), received {head[:60]!r}")
        folds, each = (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (1, int(numbers[0]))
        super().__init__(_rows(source, folder(images), suffix), folds if folds > 1 else 10, path)
        if len(self.issame) != 2 * folds * each:
            raise DataError(f"{path}: expected {2 * folds * each} pairs as its first line says, received {len(self.issame)}")


def _rows(source: Iterator[tuple[str, str]], images: Path, suffix: str) -> Iterator[Row]:
    for where, text in source:
        words = text.split("\t") if "\t" in text else text.split()
        numbers = words[1:] if len(words) == 3 else words[1::2]
        if len(words) not in (3, 4) or not all(word.strip().isdecimal() for word in numbers):
            raise DataError(f"{where}: expected 'name number number' or 'name number name number', received {text[:60]!r}")
        names = (words[0], words[0] if len(words) == 3 else words[2])
        files = [images / name / f"{name}_{int(number):04d}{suffix}" for name, number in zip(names, numbers, strict=True)]
        yield Row(files[0], files[1], len(words) == 3, where)
