"""The sample of a picture with the landmarks of one face."""

import numpy as np

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture

OUTSIDE = 0.25  # of the picture's longer side: landmarks of cropped faces may lie a little outside


def sample(name: str, points: np.ndarray, box: np.ndarray | None = None) -> dict:
    """The picture, its face and the landmarks.

    Args:
        name: path of the picture.
        points: in pixels.
        box: (4,) x1, y1, x2, y2 of the face; None: around the landmarks.

    Shape:
        (K, 2) -> picture, gt_boxes (1, 4), gt_landmarks (1, K, 2)

    Raises:
        DataError: no such picture, or landmarks far outside of it.
    """
    picture, points = Picture.open(name), points.astype(np.float32)
    height, width = picture.size
    slack = OUTSIDE * max(height, width)
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < -slack).any() or (high > np.array([width, height]) + slack).any():
        raise DataError(
            f"{name}: expected landmarks inside the picture of {width}x{height} pixels, "
            f"received x from {low[0]:g} to {high[0]:g}, y from {low[1]:g} to {high[1]:g}"
        )
    around = np.concatenate([low, high]) if box is None else box.astype(np.float32)
    return {"picture": picture, "gt_boxes": around[None], "gt_landmarks": points[None]}
