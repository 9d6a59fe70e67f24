"""Box arithmetic against loops."""

import numpy as np

from ppface.ops import boxes as ops


def test_overlaps_follow_their_definition(rng):
    a, b = (
        np.concatenate([corner, corner + rng.uniform(0, 30, (n, 2))], 1)
        for n, corner in ((7, rng.uniform(0, 40, (7, 2))), (5, rng.uniform(0, 40, (5, 2))))
    )
    a[0, 2] = a[0, 0] - 3  # the wrong way round: no area
    for i, (ax1, ay1, ax2, ay2) in enumerate(a):
        for j, (bx1, by1, bx2, by2) in enumerate(b):
            common = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
            area_a, area_b = max(0, ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1)
            np.testing.assert_allclose(ops.intersection(a, b)[i, j], common)
            np.testing.assert_allclose(ops.iou(a, b)[i, j], common / (area_a + area_b - common))
            np.testing.assert_allclose(ops.covered(a, b)[i, j], common / area_a if area_a else 0)


def test_empty_boxes_and_no_boxes():
    point, nothing = np.array([[3.0, 3, 3, 3]]), np.zeros((0, 4))
    assert ops.iou(point, point).tolist() == [[0]] and ops.covered(point, point).tolist() == [[0]]
    assert ops.iou(nothing, point).shape == (0, 1) and ops.area(nothing).shape == (0,)


def test_centres_clip_and_other_corners():
    box = np.array([[-4.0, 2, 10, 30]], "float32")
    assert ops.centres(box).tolist() == [[3, 16]]
    assert ops.clip(box, (20, 8)).tolist() == [[0, 2, 8, 20]] and ops.clip(box, (20, 8)).dtype == np.float32
    assert ops.to_xywh(box).tolist() == [[-4, 2, 14, 28]]
    np.testing.assert_array_equal(ops.from_xywh(ops.to_xywh(box)), box)
