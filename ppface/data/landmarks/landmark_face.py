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
        box: (4,) x1, y1, x2, y2 of the face; None: around the landmarks, at least a pixel wide and high.

    Shape:
        (K, 2) -> picture, gt_boxes (1, 4), gt_landmarks (1, K, 2)

    Raises:
        DataError: no such picture, landmarks far outside of it, or a box that the landmarks are not in.
    """
    picture, points = Picture.open(name), points.astype(np.float32)
    check_inside(points, picture, name)
    low, high = points.min(axis=0), points.max(axis=0)
    around = np.concatenate([low, np.maximum(high, low + 1)])  # a box without an area would be dropped, and its landmarks with it
    if box is not None:
        if (np.minimum(around[2:], box[2:]) <= np.maximum(around[:2], box[:2])).any():
            raise DataError(
                f"{name}: expected the landmarks in their box, received the box {' '.join(f'{side:g}' for side in box)}, "
                f"landmarks with x from {low[0]:g} to {high[0]:g}, y from {low[1]:g} to {high[1]:g}"
            )
        around = box.astype(np.float32)
    return {"picture": picture, "gt_boxes": around[None], "gt_landmarks": points[None]}


def one_face(sample: dict, name: str) -> np.ndarray:
    """(K, 2) landmarks of the one face of a sample.

    Raises:
        DataError: a sample without landmarks, or with another number of faces.
    """
    faces = len(sample.get("gt_landmarks", sample.get("gt_boxes", ())))
    labelled = int(np.sum(sample.get("gt_has_landmarks", np.full(faces, "gt_landmarks" in sample))))
    if (faces, labelled) != (1, 1):
        raise DataError(f"{name}: expected one face with landmarks, received {faces} faces, {labelled} of them with landmarks")
    return sample["gt_landmarks"][0]


def check_inside(points: np.ndarray, picture: Picture, where: str) -> None:
    """Raises a DataError that begins with `where` for landmarks (K, 2) far outside their picture: labels and pictures do not match."""
    height, width = picture.size
    slack = OUTSIDE * max(height, width)
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < -slack).any() or (high > np.array([width, height]) + slack).any():
        raise DataError(
            f"{where}: expected landmarks inside the picture of {width}x{height} pixels, "
            f"received x from {low[0]:g} to {high[0]:g}, y from {low[1]:g} to {high[1]:g}"
        )
