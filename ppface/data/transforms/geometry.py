"""Transforms a sample without changing its pixels: matrix and faces change at once, the picture is warped once, at the end.

Coordinates are continuous: the picture covers [0, width] x [0, height], the centre of its first pixel is (0.5, 0.5).
"""

from collections.abc import Sequence

import numpy as np

from ppface.data.batch import KEYS, ragged
from ppface.ops import boxes as ops

EVERYWHERE = np.array([-np.inf, -np.inf, np.inf, np.inf])  # x1, y1, x2, y2


def size(sample: dict) -> tuple[int, int]:
    """(height, width) of the sample's current view."""
    return sample.get("_size", sample["picture"].size)


def boxes(sample: dict) -> np.ndarray:
    """The faces in the view: (G, 4), without rows if the sample has no boxes."""
    return sample.get("gt_boxes", np.zeros((0, 4), np.float32))


def move(sample: dict, matrix: np.ndarray, size: tuple[int, int]) -> None:
    """Applies a 3x3 affine matrix, current to new coordinates, to the sample, whose view becomes [0, width] x [0, height].

    A box becomes the upright box around its four transformed corners. A part of the picture that was cropped once stays hidden in later
    views, because its faces were dropped; `_shown` is the upright box around the visible part, in coordinates of the picture.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    sample["_matrix"] = matrix @ sample.get("_matrix", np.eye(3))
    sample["_size"] = (int(size[0]), int(size[1]))
    sample["_shown"] = _intersection(sample.get("_shown", EVERYWHERE), _visible(sample["_matrix"], sample["_size"]))
    if "gt_boxes" in sample:
        old = sample["gt_boxes"].astype(np.float64)
        corners = points(matrix, old[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
        sample["gt_boxes"] = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    if "gt_landmarks" in sample:
        moved = points(matrix, sample["gt_landmarks"].astype(np.float64))
        labelled = sample.get("gt_has_landmarks", np.ones(len(moved), bool))
        sample["gt_landmarks"] = np.where(labelled[:, None, None], moved, 0).astype(np.float32)


def show_only(sample: dict, box: np.ndarray) -> None:
    """Hides everything outside the rectangle x1, y1, x2, y2, in coordinates of the picture, in all later views."""
    sample["_shown"] = _intersection(sample.get("_shown", EVERYWHERE), box)


def points(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Applies a 3x3 affine matrix to (..., 2) points."""
    return xy @ matrix[:2, :2].T + matrix[:2, 2]


def _visible(matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """x1, y1, x2, y2 around a view, in coordinates of the picture."""
    corners = points(np.linalg.inv(matrix), np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]]))
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The intersection of two boxes x1, y1, x2, y2; a box without area if it is empty."""
    first = np.maximum(a[:2], b[:2])
    return np.concatenate([first, np.maximum(first, np.minimum(a[2:], b[2:]))])


def keep(sample: dict, mask: np.ndarray) -> None:
    """Keeps the faces where `mask` (G,) is true: their rows in every array that has one row per face."""
    for key in sample:
        if key in KEYS and ragged(key):
            sample[key] = sample[key][mask]


def view(box: Sequence[float] | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The matrix that maps the rectangle x1, y1, x2, y2 to a view of `size` (height, width)."""
    x1, y1, x2, y2 = (float(side) for side in box)
    across, down = size[1] / (x2 - x1), size[0] / (y2 - y1)
    return np.array([[across, 0, -x1 * across], [0, down, -y1 * down], [0, 0, 1]])


def centre_inside(faces: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which of (G, 4) boxes have their centre in the rectangle x1, y1, x2, y2."""
    centre = ops.centres(faces)
    return np.all((centre >= box[:2]) & (centre <= box[2:]), axis=1)


def clip(sample: dict, min_side: float = 0.0) -> None:
    """Clips the boxes at the borders of the view and drops those whose shorter side is then 0, or less than `min_side` pixels."""
    if "gt_boxes" not in sample:
        return
    cut = ops.clip(sample["gt_boxes"], size(sample))
    sides = (cut[:, 2:] - cut[:, :2]).min(axis=1)
    sample["gt_boxes"] = cut
    keep(sample, (sides > 0) & (sides >= min_side))
