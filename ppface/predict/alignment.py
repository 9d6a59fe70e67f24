"""The ways in which a detected face becomes the picture that is embedded; all models of a gallery need the same one."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from ppface.ops import align
from ppface.ops.resize import letterboxed
from ppface.predict.face import Face


def five_points(image: np.ndarray, face: Face, size: tuple[int, int]) -> np.ndarray:
    """The similarity that maps eyes, nose and mouth onto ArcFace's template, see `ppface.ops.align`; black beyond the picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: with 5, 68 or 98 landmarks in pixels of the image.
        size: (height, width) of the result.

    Raises:
        ValueError: landmarks that determine no similarity.
    """
    return align.align(image, _landmarks(face), size)


def eyes(image: np.ndarray, face: Face, size: tuple[int, int]) -> np.ndarray:
    """As `five_points`, but the rotation, scale and translation map the two eyes alone, so that a turned head moves nose and mouth."""
    matrix = align.similarity(align.eyes(_landmarks(face)), align.template(size)[:2])
    return cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR)


def crop(image: np.ndarray, face: Face, size: tuple[int, int]) -> np.ndarray:
    """The box, rotated about its middle until the eyes are level, then fitted into the size with grey (128) around it; `face` may lack
    landmarks, and is not rotated then. Source: https://github.com/bubbliiiing/facenet-retinaface-pytorch, retinaface.py, utils/utils.py.

    The rotation has no scale and keeps the size of the crop: its corners become black. That program interpolates bicubically here, this
    one as all our models do.
    """
    height, width = image.shape[:2]
    left, top = (min(max(0, int(edge)), side - 1) for edge, side in zip(face.box[:2], (width, height), strict=True))
    right, bottom = (min(max(int(edge), low + 1), side) for edge, low, side in zip(face.box[2:], (left, top), (width, height), strict=True))
    part = np.ascontiguousarray(image[top:bottom, left:right])
    if face.landmarks is not None and np.isfinite(face.landmarks).all():
        first, second = align.eyes(face.landmarks)
        x, y = second - first
        angle = math.degrees(math.atan(y / x)) if x else 0.0
        matrix = cv2.getRotationMatrix2D((part.shape[1] // 2, part.shape[0] // 2), angle, 1)
        part = cv2.warpAffine(part, matrix, part.shape[1::-1], flags=cv2.INTER_LINEAR)
    return letterboxed(part.shape[:2], size).apply(part)


def _landmarks(face: Face) -> np.ndarray:
    if face.landmarks is None:
        raise ValueError("expected a face with landmarks, received one without")
    return face.landmarks


ALIGNMENTS: dict[str, Callable[[np.ndarray, Face, tuple[int, int]], np.ndarray]] = {"five_points": five_points, "eyes": eyes, "crop": crop}
NEED_LANDMARKS = ("five_points", "eyes")
