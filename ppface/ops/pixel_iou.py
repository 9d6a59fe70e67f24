"""Intersection over union of boxes in the inclusive-pixel convention of WIDER FACE: a box from 3 to 5 is three pixels wide."""

import numpy as np


def pixel_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of every box with every other one, with one pixel added to every width and height.

    Boxes with swapped corners overlap nothing.

    Shape:
        boxes (N, 4), others (G, 4), both x1, y1, x2, y2 in pixels -> (N, G) in 0..1
    """
    x1, y1, x2, y2 = (column[:, None] for column in boxes.T)
    width = np.minimum(x2, others[:, 2])
    width -= np.maximum(x1, others[:, 0])
    width += 1
    height = np.minimum(y2, others[:, 3])
    height -= np.maximum(y1, others[:, 1])
    height += 1
    inter = np.maximum(width, 0, out=width)
    inter *= np.maximum(height, 0, out=height)
    union = np.add(_area(boxes)[:, None], _area(others), out=height)
    union -= inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
