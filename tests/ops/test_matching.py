"""Matching against a reference that looks at every pair of anchor and face."""

import numpy as np
import pytest

from ppface.ops import boxes as ops
from ppface.ops.matching import IGNORED, match


def grid(size, steps=(8, 16), min_sizes=((16, 24), (32, 48, 64, 80, 96, 128))):
    height, width = size
    rows = [
        ((j + 0.5) * step / width, (i + 0.5) * step / height, side / width, side / height)
        for step, sides in zip(steps, min_sizes, strict=True)
        for i in range(-(-height // step))
        for j in range(-(-width // step))
        for side in sides
    ]
    return np.array(rows, "float32")


def corners(anchors, size):
    pixels = anchors.astype("float64") * [size[1], size[0], size[1], size[0]]
    pixels = np.concatenate([pixels[:, :2] - pixels[:, 2:] / 2, pixels[:, :2] + pixels[:, 2:] / 2], axis=1)
    return np.round(pixels * 1024) / 1024


def reference(anchors, size, boxes, threshold, floor=0.0, background=None):
    """One image, every pair. Among anchors of equal IoU the nearest centre is the best, then the first."""
    places = corners(anchors, size)
    iou = np.round(ops.iou(places, boxes.astype("float64")), 12)
    matched = np.full(len(anchors), -1)
    for a in range(len(anchors)):
        if len(boxes) and iou[a].max() >= threshold:
            matched[a] = iou[a].argmax()
        elif len(boxes) and background is not None and iou[a].max() >= background:
            matched[a] = IGNORED
    for g in range(len(boxes)):
        if iou[:, g].max() > 0 and iou[:, g].max() >= floor:
            distance = np.abs(ops.centres(places) - ops.centres(boxes[g].astype("float64")))
            matched[min(range(len(anchors)), key=lambda a: (-iou[a, g], distance[a, 1], distance[a, 0], a))] = g
    return matched


def draw(rng, count, size, low=3, high=150):
    side = np.exp(rng.uniform(np.log(low), np.log(high), (count, 1))) * rng.uniform(0.7, 1.4, (count, 2))
    centre = rng.uniform(0, 1, (count, 2)) * [size[1], size[0]]
    return np.concatenate([centre - side / 2, centre + side / 2], axis=1).astype("float32")


@pytest.mark.parametrize("size", [(96, 160), (321, 117)])
@pytest.mark.parametrize("whole_pixels", [True, False])
@pytest.mark.parametrize("threshold", [0.35, 0.1, 0.7])
@pytest.mark.parametrize("min_sizes", [((16, 24), (32, 48, 64, 80, 96, 128)), ((16, 32), (32, 64))])
def test_matching_agrees_with_every_pair(rng, size, whole_pixels, threshold, min_sizes):
    counts = np.array([0, 1, 7, 60])
    boxes = np.zeros((4, 60, 4), "float32")
    for i, count in enumerate(counts):
        boxes[i, :count] = draw(rng, count, size)
    if whole_pixels:
        boxes = np.round(boxes)
    anchors = grid(size, min_sizes=min_sizes)
    got = match(anchors, size, boxes, counts, threshold)
    for i, count in enumerate(counts):
        np.testing.assert_array_equal(got[i], reference(anchors, size, boxes[i, :count], threshold))


@pytest.mark.parametrize(("threshold", "floor", "background"), [(0.35, 0.2, None), (0.5, 0.0, 0.3), (0.5, 0.4, 0.1), (0.35, 0.9, 0.35)])
def test_a_floor_and_an_ignored_band_agree_with_every_pair(rng, threshold, floor, background):
    size, counts = (96, 160), np.array([0, 2, 40])
    boxes = np.zeros((3, 40, 4), "float32")
    for i, count in enumerate(counts):
        boxes[i, :count] = draw(rng, count, size)
    anchors = grid(size)
    got = match(anchors, size, boxes, counts, threshold, floor, background)
    for i, count in enumerate(counts):
        np.testing.assert_array_equal(got[i], reference(anchors, size, boxes[i, :count], threshold, floor, background))
    assert (got == IGNORED).any() == (background is not None and background < threshold)


def test_of_faces_with_the_same_best_anchor_the_last_takes_it():
    box = np.array([4.0, 4, 20, 20], "float32")
    got = match(grid((32, 32)), (32, 32), np.stack([box, box, box])[None], np.array([3]), 0.99)
    assert (got >= 0).sum() == 1 and got.max() == 2


def test_of_equal_faces_above_the_threshold_the_first_takes_the_anchor():
    box = np.array([4.0, 4, 20, 20], "float32")
    got = match(grid((32, 32)), (32, 32), np.stack([box, box])[None], np.array([2]), 0.3)[0]
    best = got == 1
    assert best.sum() == 1 and (got == 0).sum() > 3


def test_the_best_anchor_of_a_face_larger_than_all_is_in_its_middle():
    anchors = grid((640, 640))
    got = match(anchors, (640, 640), np.array([[[0, 0, 640, 600]]], "float32"), np.array([1]), 0.35)[0]
    (best,) = np.flatnonzero(got == 0)
    np.testing.assert_allclose(anchors[best] * 640, [312, 296, 128, 128], rtol=1e-5)


def test_padding_and_faces_without_place_get_nothing():
    boxes = np.array([[[0, 0, 16, 16], [5, 5, 5, 9], [9, 9, 2, 2], [900, 900, 950, 950], [0, 0, 16, 16]]], "float32")
    assert (match(grid((64, 64)), (64, 64), boxes, np.array([4]), 0.9) >= 0).sum() == 1
    assert (match(grid((64, 64)), (64, 64), boxes[:, 1:], np.array([3]), 0.35) == -1).all()


def test_anchor_zero_can_be_a_face():
    got = match(grid((64, 64)), (64, 64), np.array([[[-4, -4, 12, 12]]], "float32"), np.array([1]), 0.35)[0]
    assert got[0] == 0


def test_anchors_on_no_full_grid_match_too(rng):
    size, kept = (96, 96), rng.permutation(len(grid((96, 96))))[:90]
    anchors, boxes = grid(size)[kept], draw(rng, 20, size)
    got = match(anchors, size, boxes[None], np.array([20]), 0.35)[0]
    iou = ops.iou(corners(anchors, size), boxes.astype("float64"))
    good = iou.max(axis=1) >= 0.35
    assert good.sum() > 10 and (got[good] >= 0).all()
