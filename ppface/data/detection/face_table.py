"""The faces of a label file as arrays: parsed once, compact, fast to pickle for a worker."""

from collections.abc import Callable

import numpy as np

from ppface.core.errors import DataError
from ppface.data.loading.label_files import refuse
from ppface.data.pictures.picture import Picture

MAX_NEGATIVE = 1e-4  # largest share of boxes with a negative side that are dropped, not errors: WIDER FACE val has 1 of 39,708
Where = Callable[[int], str]  # number of a face -> file and line of its label, for messages


class FaceTable:
    """Faces in rows, grouped by picture.

    Faces without width or height are dropped, because the official labels of WIDER FACE contain some with a side of 0 and one with
    -2 pixels. Faces with a negative side are dropped only if they are rarer than MAX_NEGATIVE; more of them are an error.

    Args:
        source: the label file, for messages.
        names: of the pictures.
        counts: faces of each picture.
        rows: (F, C) numbers, the first four x, y, w, h in pixels.
        lines: (F,) line numbers, from 1.

    Raises:
        DataError: a box that is negative or not a number.
    """

    def __init__(self, source: str, names: list[str], counts: list[int], rows: np.ndarray, lines: list[int]):
        self.source, self.names, self.rows, self.lines = source, names, rows, np.array(lines, dtype=np.int64)
        self.first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        negative = (rows[:, 2:4] < 0).any(axis=1)
        dropped = negative & (negative.sum() < MAX_NEGATIVE * len(rows))
        check_boxes(np.where(dropped[:, None], 0, rows[:, :4]), self.where)
        self.leave_out(np.asarray((rows[:, 2:4] <= 0).any(axis=1)))

    def where(self, row: int) -> str:
        return f"{self.source}:{self.lines[row]}"

    def leave_out(self, mask: np.ndarray) -> None:
        """Removes the faces where `mask` (F,) is true; their pictures stay."""
        self.first = np.concatenate([[0], np.cumsum(~mask)])[self.first]
        self.rows, self.lines = self.rows[~mask], self.lines[~mask]

    def of(self, index: int, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Faces of one picture: boxes (G, 4) x1, y1, x2, y2 float32, clipped at its borders, and the rows (G, C)."""
        first, stop = self.first[index : index + 2]
        rows = self.rows[first:stop]
        return inside(corners(rows[:, :4]), picture, lambda row: self.where(first + row)), rows


def table(source: str, names: list[str], counts: list[int], rows: list[list[float]], lines: list[int]) -> FaceTable:
    """A FaceTable from the lists of a parser; all rows have the same length."""
    array = np.array(rows, dtype=np.float32) if rows else np.zeros((0, 4), np.float32)
    return FaceTable(source, names, counts, array, lines)


def corners(xywh: np.ndarray) -> np.ndarray:
    """x, y, w, h to x1, y1, x2, y2."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def check_boxes(xywh: np.ndarray, where: Where) -> None:
    """Raises a DataError that lists boxes with a negative width or height, and those with numbers that are not finite."""
    wrong = ~np.isfinite(xywh).all(axis=1) | (xywh[:, 2:] < 0).any(axis=1)
    expected = "expected a box x y w h of finite numbers with w, h >= 0"
    refuse(f"{where(int(row))}: {expected}, received {' '.join(f'{value:g}' for value in xywh[row])}" for row in np.flatnonzero(wrong))


def inside(boxes: np.ndarray, picture: Picture, where: Where) -> np.ndarray:
    """Clips boxes at the picture's borders; a box completely outside is an error: labels and pictures do not match."""
    height, width = picture.size
    cut = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    outside = (cut[:, 2:] <= cut[:, :2]).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        box = " ".join(f"{value:g}" for value in boxes[row])
        raise DataError(f"{where(row)}: box x1 y1 x2 y2 = {box} lies outside its picture {picture.name} of {width}x{height} pixels")
    return cut.astype(np.float32)
