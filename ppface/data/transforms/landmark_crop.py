"""Crops a face by its landmarks."""

import math

import numpy as np

from ppface.core.registry import register
from ppface.data.landmarks.landmark_face import one_face
from ppface.data.transforms import geometry
from ppface.ops.face_crop import MARGIN, square


@register("transform")
class LandmarkCrop:
    """Crops a square around the landmarks of one face, turned, moved and scaled at random, in one warp.

    Source: the crops of PFLD's published code, https://github.com/polarisZhao/PFLD-pytorch, data/SetPreparation.py: without randomness the
    square around the landmarks' bounding box, `margin` times as large as its longer side; in training turned about its centre. A random
    crop that a landmark leaves is drawn again.

    Args:
        size: (height, width) of the view in pixels.
        margin: side of the square relative to the longer side of the landmarks' box, > 0.
        rotate: largest angle in degrees, 0..180.
        shift: largest move of the centre along x and y, relative to the longer side, 0..1.
        scale: factors from..to on `margin`, > 0.
        trials: random crops that are drawn; then the plain one is used, >= 1.

    Shape:
        sample with gt_landmarks (1, K, 2) -> sample of `size`; the roll of its `pose`, if it has one, follows the angle

    Raises:
        ValueError: an argument outside its range.
        DataError: a sample without landmarks, or of another number of faces than one.
    """

    def __init__(
        self,
        size: tuple[int, int] = (112, 112),
        margin: float = MARGIN,
        rotate: float = 0.0,
        shift: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        trials: int = 10,
    ):
        if min(size) < 1 or margin <= 0 or trials < 1:
            raise ValueError(
                f"LandmarkCrop: expected size and trials of at least 1 and margin above 0, received {list(size)}, {trials} and {margin}"
            )
        if not 0 <= rotate <= 180 or not 0 <= shift <= 1 or not 0 < scale[0] <= scale[1]:
            raise ValueError(
                "LandmarkCrop: expected rotate in 0..180, shift in 0..1 and a scale [from, to] above 0, "
                f"received {rotate}, {shift} and {list(scale)}"
            )
        self.size, self.margin, self.rotate, self.shift, self.scale, self.trials = (size[0], size[1]), margin, rotate, shift, scale, trials

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        points = one_face(sample, sample["picture"].name).astype(np.float64)
        if self.rotate or self.shift or self.scale != (1.0, 1.0):
            for _ in range(self.trials):
                angle = math.radians(rng.uniform(-self.rotate, self.rotate))
                matrix = self._matrix(points, angle, rng.uniform(-self.shift, self.shift, 2), rng.uniform(*self.scale))
                moved = geometry.points(matrix, points)
                if (moved >= 0).all() and (moved <= self.size[::-1]).all():
                    geometry.move(sample, matrix, self.size)
                    if "pose" in sample:
                        sample["pose"] = np.asarray(sample["pose"]) + np.array([0, 0, math.degrees(angle)], np.float32)
                    return sample
        geometry.move(sample, self._matrix(points, 0.0, np.zeros(2), 1.0), self.size)
        return sample

    def _matrix(self, points: np.ndarray, angle: float, shift: np.ndarray, scale: float) -> np.ndarray:
        """From the picture to the view: turned about the middle of the landmarks' box, then cropped by the turned landmarks."""
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        turn[:2, 2] = middle - turn[:2, :2] @ middle
        turned = geometry.points(turn, points)
        low, high = turned.min(axis=0), turned.max(axis=0)
        moved = np.tile(shift * max(1.0, *(high - low)), 2)
        return geometry.view(square([*low, *high], self.margin * scale) + moved, self.size) @ turn
