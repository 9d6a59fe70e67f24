"""Box voting: averages the boxes of one face from several views, weighted by their scores."""

import numpy as np

from ppface.ops.pixel_iou import pixel_iou


def vote(
    boxes: np.ndarray, scores: np.ndarray, iou: float = 0.3, min_votes: int = 1, max_faces: int = 750
) -> tuple[np.ndarray, np.ndarray]:
    """Groups boxes around the best-scored ones, as the public test code of S3FD and PyramidBox does, after Gidaris and Komodakis 2015,
    https://arxiv.org/abs/1505.01749, section 5.

    The best remaining box and all whose IoU with it is `iou` or more (inclusive pixels) form a group, until no box remains.

        box = sum_i s_i * box_i / sum_i s_i,    score = max_i s_i

    Args:
        iou: smallest IoU of a box with the best of its group, > 0.
        min_votes: smaller groups are dropped (the public code: 2).
        max_faces: largest number of groups, the best are kept.

    Shape:
        boxes (M, 4) x1, y1, x2, y2, scores (M,), both >= 0 -> boxes (V, 4), scores (V,), best first
    """
    best_first = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[best_first].astype("float64"), scores[best_first].astype("float64")
    left = np.arange(len(boxes))
    voted: list[np.ndarray] = []
    best: list[float] = []
    while len(left) and len(voted) < max_faces:
        together = pixel_iou(boxes[left[:1]], boxes[left])[0] >= iou
        together[0] = True  # a box with swapped corners does not even overlap itself
        group, left = left[together], left[~together]
        if len(group) >= min_votes:
            weights = scores[group] if scores[group[0]] > 0 else np.ones(len(group))
            voted.append(weights @ boxes[group] / weights.sum())
            best.append(scores[group[0]])
    return np.array(voted).reshape(-1, 4), np.array(best)
