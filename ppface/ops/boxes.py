"""Operations on boxes x1, y1, x2, y2 in NumPy, for data sets, transforms and evaluators."""

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) -> (...); 0 for a box with swapped corners."""
    return np.clip(boxes[..., 2] - boxes[..., 0], 0, None) * np.clip(boxes[..., 3] - boxes[..., 1], 0, None)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, 4), (B, 4) -> (A, B) intersection area of every pair."""
    a, b = a[:, None], b[None]
    return area(np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1))


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, 4), (B, 4) -> (A, B) intersection over union of every pair, 0 where both boxes are empty."""
    common = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - common
    return np.divide(common, union, out=np.zeros_like(common, dtype="float64"), where=union > 0)


def covered(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, 4), (B, 4) -> (A, B) the fraction of every box of `a` inside the box of `b`, 0..1; 0 for an empty box."""
    common, whole = intersection(a, b), area(a)[:, None]
    return np.divide(common, whole, out=np.zeros_like(common, dtype="float64"), where=whole > 0)


def centres(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) -> (..., 2) x, y of the middle."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def clip(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(..., 4) -> (..., 4) with every corner inside an image of `size` (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], dtype=boxes.dtype))


def from_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) x, y, width, height -> x1, y1, x2, y2."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) x1, y1, x2, y2 -> x, y, width, height."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)
