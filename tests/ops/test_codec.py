"""Coding of boxes and landmarks against the equations, one number at a time."""

import math

import numpy as np
import paddle
import pytest

from ppface.ops import codec


@pytest.fixture
def anchors(rng):
    return rng.uniform(0.1, 0.9, (6, 4)).astype("float32")


def test_boxes_follow_the_equation_and_come_back(rng, anchors):
    corner = rng.uniform(0, 0.5, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.01, 0.5, (6, 2))], axis=1).astype("float32")
    offsets = codec.encode_boxes(boxes, anchors)
    for (x1, y1, x2, y2), (cx, cy, w, h), got in zip(boxes, anchors, offsets, strict=True):
        want = [
            ((x1 + x2) / 2 - cx) / (w * 0.1),
            ((y1 + y2) / 2 - cy) / (h * 0.1),
            math.log((x2 - x1) / w) / 0.2,
            math.log((y2 - y1) / h) / 0.2,
        ]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codec.decode_boxes(paddle.to_tensor(offsets), paddle.to_tensor(anchors)).numpy(), boxes, atol=1e-6)


def test_landmarks_follow_the_equation_and_come_back(rng, anchors):
    points = rng.uniform(0, 1, (6, 5, 2)).astype("float32")
    offsets = codec.encode_landmarks(points, anchors)
    for i, (cx, cy, w, h) in enumerate(anchors):
        for k in range(5):
            want = [(points[i, k, 0] - cx) / (w * 0.1), (points[i, k, 1] - cy) / (h * 0.1)]
            np.testing.assert_allclose(offsets[i, k], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codec.decode_landmarks(paddle.to_tensor(offsets), paddle.to_tensor(anchors)).numpy(), points, atol=1e-6)
