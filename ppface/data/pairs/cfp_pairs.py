"""The pairs of CFP's protocol folder: frontal against frontal, or frontal against profile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pairs.file_pairs import FilePairs, Row, folder, lines


@register("pairs")
class CfpPairs(FilePairs):
    """Celebrities in Frontal-Profile: Sengupta et al. 2016, http://www.cfpw.io.

    The protocol folder contains `Pair_list_F.txt` and `Pair_list_P.txt` (`number path` lines) and `Split/FP/01/same.txt`, ... with
    lines `number,number`: frontal, then profile (in FF frontal both). Each split is a fold.

    Args:
        protocol: the folder.
        images: folder of the pictures, as `001/frontal/01.jpg`: the lists' paths after `Images/`.
        against: FP, frontal against profile, or FF.
        splits: which of the ten; None: all. Split k tests people 50 (k - 1) + 1 to 50 k.

    Shape:
        700 pairs per split

    Raises:
        DataError: a missing file, folder or picture, or a malformed line.
        ValueError: fewer than two splits, repeated ones, or numbers outside 1..10.
    """

    def __init__(self, protocol: str, images: str, against: Literal["FP", "FF"] = "FP", splits: list[int] | None = None):
        splits = list(range(1, 11)) if splits is None else splits
        if len(set(splits)) < 2 or len(set(splits)) < len(splits) or not 1 <= min(splits) <= max(splits) <= 10:
            raise ValueError(f"CfpPairs: expected at least two different splits of 1 to 10, received {splits}")
        root, base = Path(protocol), folder(images)
        frontal = _numbered(root / "Pair_list_F.txt", base)
        tables = (frontal, _numbered(root / "Pair_list_P.txt", base) if against == "FP" else frontal)
        files = [(root / "Split" / against / f"{k:02d}" / f"{name}.txt", name == "same") for k in splits for name in ("same", "diff")]
        super().__init__((row for path, same in files for row in _rows(path, tables, same)), len(splits), root / "Split" / against)


def _numbered(path: Path, images: Path) -> dict[int, Path]:
    """{number: path} of all frontal or all profile pictures."""
    found = {}
    for where, text in lines(path):
        number, _, name = text.partition(" ")
        if not number.isdecimal() or not name:
            raise DataError(f"{where}: expected 'number path', received {text[:60]!r}")
        found[int(number)] = images / name.strip().rpartition("Images/")[2]
    return found


def _rows(path: Path, tables: tuple[dict[int, Path], dict[int, Path]], issame: bool) -> Iterator[Row]:
    for where, text in lines(path):
        words = [word.strip() for word in text.split(",")]
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise DataError(f"{where}: expected 'number,number', received {text[:60]!r}")
        for word, table in zip(words, tables, strict=True):
            if int(word) not in table:
                raise DataError(f"{where}: expected a picture number from the protocol's list of {len(table)}, received {word}")
        yield Row(tables[0][int(words[0])], tables[1][int(words[1])], issame, where)
