"""Box voting against the rule in loops."""

import numpy as np
import pytest

from ppface.ops.voting import vote


def overlap(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    inter = max(wide, 0) * max(high, 0)
    return inter / ((a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - inter)


def reference(boxes, scores, iou, min_votes, max_faces):
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    voted = []
    while left:
        group = [i for i in left if overlap(boxes[left[0]], boxes[i]) >= iou]
        left = [i for i in left if i not in group]
        if len(group) >= min_votes:
            total = sum(scores[i] for i in group)
            voted.append(([sum(scores[i] * boxes[i][k] for i in group) / total for k in range(4)], scores[group[0]]))
    return voted[:max_faces]


@pytest.mark.parametrize("min_votes", [1, 2, 3])
@pytest.mark.parametrize("iou", [0.3, 0.6, 1.0])
def test_random_boxes_vote_as_in_the_loops(iou, min_votes, rng):
    centres = rng.integers(0, 80, (8, 2))
    corner = np.repeat(centres, 6, axis=0) + rng.integers(-4, 5, (48, 2))
    boxes = np.concatenate([corner, corner + rng.integers(8, 20, (48, 2))], axis=1).astype(float)
    scores = rng.integers(1, 20, 48) / 20  # with ties
    want = reference(boxes.tolist(), scores.tolist(), iou, min_votes, 7)
    voted, best = vote(boxes, scores, iou, min_votes, 7)
    np.testing.assert_allclose(voted, np.array([box for box, _ in want]).reshape(-1, 4), atol=1e-9)
    np.testing.assert_allclose(best, [score for _, score in want])


def test_nothing_stays_nothing():
    boxes, scores = vote(np.zeros((0, 4)), np.zeros(0))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_boxes_without_score_or_extent_come_through():
    boxes = np.array([[0.0, 0, 9, 9], [0, 2, 9, 11], [50, 50, 40, 40]])
    voted, best = vote(boxes, np.zeros(3))
    assert voted.tolist() == [[0, 1, 9, 10], [50, 50, 40, 40]]
    assert best.tolist() == [0.0, 0.0]
