"""A head with neck and shoulders, and how it is composited onto a picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from ppface.data.synthetic import brush
from ppface.data.synthetic.head import Head

# right halves in half head heights, from the top of the middle line outwards and down
NECK = [(0.30, 0.35), (0.33, 1.2)]
SHIRT = [(0.36, 1.17), (0.95, 1.42), (1.38, 1.75), (1.55, 2.4), (1.6, 9.0)]
COLLAR = [(0.36, 1.17), (0.0, 1.60)]


def _whole(half: list[tuple[float, float]]) -> np.ndarray:
    """The half and its mirror image as one polygon."""
    right = np.array(half)
    return np.concatenate([right, (right * (-1, 1))[::-1]])


BODY = tuple(map(_whole, (SHIRT, COLLAR, NECK)))


@dataclass(frozen=True)
class Person:
    """A head at a position in a picture.

    Args:
        head: the drawing.
        corner: x, y in the picture of the drawing's first pixel; may lie outside.
        scale: pixels of half a head height.
        skin: RGB of the neck.
        shirt: RGB.
    """

    head: Head
    corner: tuple[int, int]
    scale: float
    skin: brush.Color
    shirt: brush.Color

    def move(self, points: np.ndarray) -> np.ndarray:
        """Converts points (..., 2) from the head's drawing to the picture."""
        return points + np.array(self.corner, np.float32)

    @property
    def box(self) -> np.ndarray:
        """(4,): the face's box in the picture."""
        return self.move(self.head.box.reshape(2, 2)).reshape(4)

    def body(self) -> list[tuple[np.ndarray, brush.Color]]:
        """Neck, shirt and collar in the picture: polygons and their colours; the neck follows half of the chin's movement."""
        middle = len(self.head.image) / 2
        lean = 0.3 * (self.head.landmarks[3:, 0].mean() - middle)
        at = np.array([middle + lean, middle]) + self.corner
        colors = (self.shirt, brush.shade(self.skin, 0.8), brush.shade(self.skin, 0.66))
        return [(shape * self.scale + at, color) for shape, color in zip(BODY, colors, strict=True)]

    def paint(self, image: np.ndarray, owner: np.ndarray, number: int, occlusion: np.ndarray | None = None) -> None:
        """Composites body and head onto the picture.

        `owner` (height, width) uint8 receives what is visible at each pixel: 2 * number + 1 for the face, 2 * number for the rest of
        the head, 0 for a body or an occluder; number from 1. `occlusion` (height, width) uint8 receives 1 where an occluder is visible,
        0 where the rest of the person is.
        """
        for shape, color in self.body():
            brush.fill(image, shape, color)
            for labels in (owner,) if occlusion is None else (owner, occlusion):
                cv2.fillPoly(labels, [brush.fixed(shape)], 0, cv2.LINE_8, brush.SHIFT)  # without anti-aliasing: numbers cannot be blended
        here, there = self.shared(image.shape)
        head, target, mine = self.head, image[here], owner[here]
        rest = cv2.merge([cv2.bitwise_not(head.cover[there])] * 3)
        cv2.add(cv2.multiply(target, rest, scale=1 / 255), head.image[there], target)
        mine[head.cover[there] > 127] = 2 * number
        mine[head.face[there] > 127] = 2 * number + 1
        mine[head.occlusion[there] > 127] = 0
        if occlusion is not None:
            occlusion[here][head.cover[there] > 127] = 0
            occlusion[here][head.occlusion[there] > 127] = 1

    def shared(self, shape: tuple) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The overlap of picture and drawing, as slices of each."""
        (x, y), side = self.corner, len(self.head.image)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + side, shape[1]), min(y + side, shape[0])
        return (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))
