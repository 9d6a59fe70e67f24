"""Pairs from a `.bin` file, the format of the evaluation sets that come with public training sets."""

import os

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.arrays import read_pictures_and_flags
from ppface.core.registry import register
from ppface.data.pictures.picture import Picture


@register("pairs")
class BinPairs:
    """lfw.bin, cfp_fp.bin, agedb_30.bin, ...: 2 N encoded pictures and N flags in a pickle, which is read without executing code.

    Source: the evaluation sets of https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_.

    Pictures 2 k and 2 k + 1 are pair k. Identical files count as one picture.

    Args:
        path: the file.
        folds: number of folds, of consecutive pairs, >= 2.

    Shape:
        6,000 pairs of LFW and AgeDB-30, 7,000 of CFP-FP

    Raises:
        DataError: a damaged file, one that contains anything but bytes (or arrays of them) and bools (or 0 and 1), or numbers of
            pictures and flags that do not match.
        ValueError: fewer than two folds.
    """

    def __init__(self, path: str, folds: int = 10):
        if folds < 2:
            raise ValueError(f"BinPairs: expected at least two folds, received {folds}")
        pictures, self.issame = read_pictures_and_flags(path)
        if len(pictures) % 2:
            raise DataError(f"{path}: expected two pictures per pair, received an odd number, {len(pictures)}")
        if not pictures or len(pictures) != 2 * len(self.issame):
            raise DataError(f"{path}: expected two pictures for each of the {len(self.issame)} flags, received {len(pictures)}")
        number: dict[bytes, int] = {}
        numbers = np.array([number.setdefault(data, len(number)) for data in pictures])
        self.first, self.second, self.folds = numbers[0::2], numbers[1::2], folds
        self.encoded = list(number)
        self.names = [f"{os.fspath(path)}: picture {place}" for place in np.unique(numbers, return_index=True)[1]]

    def __len__(self) -> int:
        return len(self.encoded)

    def picture(self, index: int) -> Picture:
        return Picture.encoded(self.encoded[index], self.names[index])
