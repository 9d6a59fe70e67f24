"""Centre-size coding of boxes and landmarks against anchors, SSD, https://arxiv.org/abs/1512.02325, equation 2, with variances.

    offset of a centre   = (centre - anchor centre) / (anchor size * 0.1)
    offset of a size     = log(size / anchor size) / 0.2
    offset of a landmark = (point - anchor centre) / (anchor size * 0.1)

Anchors are centre x, y, width, height; boxes are x1, y1, x2, y2; both in the same units.
"""

import numpy as np
import paddle

CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


def encode_boxes(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """(..., 4) boxes of positive width and height, (..., 4) anchors -> (..., 4) offsets."""
    centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    moved = (centre - anchors[..., :2]) / (anchors[..., 2:] * CENTRE_VARIANCE)
    return np.concatenate([moved, np.log(size / anchors[..., 2:]) / SIZE_VARIANCE], axis=-1)


def encode_landmarks(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """(..., K, 2) points, (..., 4) anchors -> (..., K, 2) offsets."""
    return (points - anchors[..., None, :2]) / (anchors[..., None, 2:] * CENTRE_VARIANCE)


def decode_boxes(offsets: paddle.Tensor, anchors: paddle.Tensor) -> paddle.Tensor:
    """(..., 4) offsets, (..., 4) anchors -> (..., 4) boxes."""
    centre = anchors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * anchors[..., 2:]
    half = anchors[..., 2:] * paddle.exp(offsets[..., 2:] * SIZE_VARIANCE) / 2
    return paddle.concat([centre - half, centre + half], axis=-1)


def decode_landmarks(offsets: paddle.Tensor, anchors: paddle.Tensor) -> paddle.Tensor:
    """(..., K, 2) offsets, (..., 4) anchors -> (..., K, 2) points."""
    centre, size = anchors[..., :2].unsqueeze(-2), anchors[..., 2:].unsqueeze(-2)
    return centre + offsets * CENTRE_VARIANCE * size
