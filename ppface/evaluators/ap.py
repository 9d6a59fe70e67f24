"""Average precision by the protocol of WIDER FACE, for any labelled set of pictures: pure functions over arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ppface.core.errors import DataError
from ppface.ops.boxes import from_xywh
from ppface.ops.pixel_iou import pixel_iou

THRESHOLDS = 1 - np.arange(1, 1001) / 1000  # 0.999, 0.998, ..., 0; scores are compared with >=
MISS, OUTSIDE = -1, -2  # instead of a face's index: matches no face; on a picture that is ignored


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of one subset at the 1000 thresholds.

    Args:
        precision: hits / proposals, (1000,), 0 without proposals.
        recall: hits / faces, (1000,), 0 without faces.
        faces: number of faces that count.
    """

    precision: np.ndarray
    recall: np.ndarray
    faces: int

    @property
    def ap(self) -> float:
        """Area under the curve, 0..1."""
        return average_precision(self.recall, self.precision)


def average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the envelope of a precision-recall curve, as in VOC 2010 and later: Everingham et al. 2015, https://doi.org/10.1007/s11263-014-0733-5.

        AP = sum_i (r_i - r_{i-1}) * max_{j >= i} p_j

    Shape:
        recall (T,), not decreasing, precision (T,) -> a number in 0..1
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def checked(array: np.ndarray, where: str) -> np.ndarray:
    """The predictions of one picture as float64 (N, 5), or a DataError that begins with `where`."""
    try:
        array = np.asarray(array, dtype="float64")
    except (TypeError, ValueError):
        raise DataError(f"{where}: expected an array of numbers (N, 5): x, y, w, h, score, received {type(array).__name__}") from None
    if array.size == 0:
        return array.reshape(0, 5)
    if array.ndim != 2 or array.shape[1] != 5:
        raise DataError(f"{where}: expected an array (N, 5): x, y, w, h, score, received shape {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise DataError(f"{where}: expected finite numbers x, y, w, h, score, received {array[row].tolist()} in row {row}")
    return array


def curves(
    predictions: Sequence[np.ndarray], faces: Sequence[np.ndarray], counted: Mapping[str, np.ndarray], faceless: bool = False
) -> dict[str, Curve]:
    """The curve of every subset of a labelled set.

    A prediction is matched to the face with the largest IoU, if it is at least 0.5. Among the predictions matched to a face that counts in
    the subset, the one with the best score is a hit, the others are false positives; those of other faces are neither.
    Scores are first normalised to 0..1 over the whole set.

    Args:
        predictions: for each picture (N, 5): x, y, w, h, score.
        faces: for each picture (G, 4): x, y, w, h.
        counted: name of a subset -> which of all faces count in it, (sum of G,) bool, in the order of `faces`.
        faceless: whether predictions on a picture without faces are false positives; the official WIDER FACE tool ignores such pictures.
    """
    face = match(predictions, faces, faceless)
    scores = normalised(np.concatenate([*(array[:, 4] for array in predictions), np.zeros(0)]))
    first = first_of_each(face, scores, sum(map(len, faces)))
    # index in THRESHOLDS of the first one at or under the score: exact comparisons, no arithmetic on the score
    step = len(THRESHOLDS) - np.searchsorted(THRESHOLDS[::-1], scores, side="right")
    return {name: _curve(face, first, step, mask) for name, mask in counted.items()}


def match(predictions: Sequence[np.ndarray], faces: Sequence[np.ndarray], faceless: bool = False) -> np.ndarray:
    """For every prediction of the whole set, in order, the index of its face among all faces, or MISS, or OUTSIDE.

    Independent of which faces count, so that one IoU matrix per picture serves all subsets.
    """
    found, start = [np.zeros(0, dtype="int64")], 0
    for boxes, labels in zip(predictions, faces, strict=True):
        if len(labels) == 0:
            found.append(np.full(len(boxes), MISS if faceless else OUTSIDE))
        elif len(boxes):
            iou = pixel_iou(from_xywh(boxes[:, :4]), from_xywh(labels.astype("float64")))
            best = iou.argmax(axis=1)
            found.append(np.where(iou[np.arange(len(best)), best] >= 0.5, start + best, MISS))
        start += len(labels)
    return np.concatenate(found)


def normalised(scores: np.ndarray) -> np.ndarray:
    """Scores normalised to 0..1; all 1 if they are all equal."""
    if len(scores) == 0 or scores.min() == scores.max():
        return np.ones_like(scores)
    return (scores - scores.min()) / (scores.max() - scores.min())


def first_of_each(face: np.ndarray, scores: np.ndarray, face_num: int) -> np.ndarray:
    """Which predictions are the best-scored one on their face, (P,) bool; on equal scores the earlier one.

    Undefined for predictions that are MISS or OUTSIDE.
    """
    backwards = np.argsort(-scores, kind="stable")[::-1]
    best = np.zeros(face_num + 2, dtype="int64")  # the last two rows are those of OUTSIDE and MISS
    best[face[backwards]] = backwards  # of several values for one index NumPy keeps the last: here the best score
    return best[face] == np.arange(len(face))


def _curve(face: np.ndarray, first: np.ndarray, step: np.ndarray, counted: np.ndarray) -> Curve:
    proposal = np.append(counted, [False, True])[face]  # OUTSIDE is index -2, MISS is index -1
    hit = np.append(counted, [False, False])[face] & first
    proposals, hits = (np.cumsum(np.bincount(step[mask], minlength=len(THRESHOLDS))) for mask in (proposal, hit))
    face_num = int(np.count_nonzero(counted))
    return Curve(hits / np.maximum(proposals, 1), hits / max(face_num, 1), face_num)
