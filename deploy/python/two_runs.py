"""Merges the faces of a detector's run on a picture with those of a second, coarser run that is for large faces alone."""

import numpy as np

OVERLAP = 0.4  # IoU above which two boxes show the same face
INSIDE = 0.5  # a box of the first run with more than this fraction of it inside a large face is a part of that face,
PART = 0.5  # if the large face has at least this fraction of its score


def merged(fine: np.ndarray, coarse: np.ndarray, large: float) -> np.ndarray:
    """Greedy suppression over the faces of the first run whose longer side is below `large`, without parts of larger ones, and those of the
    second run from `large` on.

    Args:
        fine, coarse: rows (N, 5 + C) of x1, y1, x2, y2, score and C further numbers.
        large: in the pixels of the boxes.

    Returns:
        such rows, best first
    """
    fine, coarse = fine[_side(fine) < large], coarse[_side(coarse) >= large]
    common, own = _common(fine[:, None], coarse[None]), _area(fine)[:, None]
    part = (common > INSIDE * own) & (coarse[:, 4] >= PART * fine[:, 4:5])
    rows = np.concatenate([fine[~part.any(axis=1)], coarse])
    left = np.argsort(-rows[:, 4], kind="stable")
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        common = _common(rows[left], rows[best])
        left = left[common <= OVERLAP * (_area(rows[left]) + _area(rows[best]) - common)]
    return rows[kept]


def _side(rows: np.ndarray) -> np.ndarray:
    return (rows[:, 2:4] - rows[:, :2]).max(axis=1)


def _area(rows: np.ndarray) -> np.ndarray:
    return np.clip(rows[..., 2:4] - rows[..., :2], 0, None).prod(axis=-1)


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area of the intersection of the boxes."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:4], b[..., 2:4])
    return np.clip(high - low, 0, None).prod(axis=-1)
