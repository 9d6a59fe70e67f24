"""Overlap in the inclusive-pixel convention, against counted pixels."""

import numpy as np

from ppface.ops.pixel_iou import pixel_iou


def pixels(box):
    x1, y1, x2, y2 = box
    return {(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)}


def test_integer_boxes_share_the_pixels_that_can_be_counted(rng):
    boxes, others = (np.concatenate([corner, corner + rng.integers(0, 6, (12, 2))], axis=1) for corner in rng.integers(0, 6, (2, 12, 2)))
    want = [[len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b)) for b in others.tolist()] for a in boxes.tolist()]
    np.testing.assert_allclose(pixel_iou(boxes.astype(float), others.astype(float)), want, atol=1e-12)


def test_boxes_that_end_before_they_start_overlap_nothing():
    odd = np.array([[5.0, 5, 3, 8], [5, 5, 4, 4]])
    assert pixel_iou(odd, np.concatenate([odd, [[0, 0, 9, 9]]])).max() == 0.0


def test_no_boxes():
    assert pixel_iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)
    assert pixel_iou(np.zeros((3, 4)), np.zeros((0, 4))).shape == (3, 0)
