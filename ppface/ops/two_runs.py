"""Merges the faces of a detector's run on a picture with those of a second, coarser run that is for large faces alone."""

import numpy as np

from ppface.ops.boxes import covered, iou

OVERLAP = 0.4  # IoU above which two boxes show the same face, as in the detectors' own suppression
INSIDE = 0.5  # a box of the first run with more than this fraction of it inside a large face is a part of that face,
PART = 0.5  # if the large face has at least this fraction of its score


def merged(fine: np.ndarray, coarse: np.ndarray, large: float) -> np.ndarray:
    """Greedy suppression over both runs, of which each gives the faces whose size suits it, as in the multi-scale testing of S3FD, Zhang et
    al. 2017, https://arxiv.org/abs/1708.05237.

    Boxes of the first run on parts of a large face are dropped; then, best first, rows whose IoU with a kept one is above OVERLAP.

    Args:
        fine: faces of the first run; those whose longer side is `large` or more are left out.
        coarse: faces of the second run; the others are left out.
        large: in the pixels of the boxes.

    Shape:
        rows (N, 5 + C) of x1, y1, x2, y2, score and C further numbers -> (M, 5 + C), best first
    """
    fine, coarse = fine[_side(fine) < large], coarse[_side(coarse) >= large]
    part = (covered(fine[:, :4], coarse[:, :4]) > INSIDE) & (coarse[:, 4] >= PART * fine[:, 4:5])
    rows = np.concatenate([fine[~part.any(axis=1)], coarse])
    left = np.argsort(-rows[:, 4], kind="stable")
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[iou(rows[left, :4], rows[[best], :4])[:, 0] <= OVERLAP]
    return rows[kept]


def _side(rows: np.ndarray) -> np.ndarray:
    return (rows[:, 2:4] - rows[:, :2]).max(axis=1)
