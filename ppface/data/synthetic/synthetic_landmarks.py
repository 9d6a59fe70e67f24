"""Synthetic portraits with 68 landmarks and their head pose: a landmark data set without files."""

import numpy as np

from ppface.core.registry import register
from ppface.data.pictures.picture import Picture
from ppface.data.synthetic import camera
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.occluder import Occluder
from ppface.data.synthetic.portrait import Portrait, draw_portrait
from ppface.data.synthetic.variation import Expression, Light, Pose


@register("dataset")
class SyntheticLandmarks:
    """One person a picture, drawn on demand, with the 68 landmarks of 300-W. Source: `ppface/data/synthetic/points68.py`.

    Picture i shows person i; it depends only on (seed, i) and the arguments below. Sets of different seeds share no picture and no
    person: train on seed 0, hold out seed 1. Landmarks are labelled where an occluder hides them, too.

    Args:
        length: pictures, >= 1.
        size: side of the square pictures in pixels, >= 32; landmarks take about two thirds of it.
        seed: of the set, >= 0.
        difficulty: 0..1, scales rotation, occlusion, bad lighting, blur and noise.

    Shape:
        sample: picture, gt_boxes (1, 4) of the face, gt_landmarks (1, 68, 2), pose (3,) yaw, pitch, roll in degrees as `Pose` has them

    Raises:
        ValueError: an argument outside of its range.
    """

    synthetic = True

    def __init__(self, length: int, size: int = 160, seed: int = 0, difficulty: float = 0.5):
        checks = {
            f"length of at least 1, received length={length}": length >= 1,
            f"size of at least 32, received size={size}": size >= 32,
            f"a seed of at least 0, received seed={seed}": seed >= 0,
            f"difficulty in 0..1, received difficulty={difficulty}": 0 <= difficulty <= 1,
        }
        for expected, holds in checks.items():
            if not holds:
                raise ValueError(f"SyntheticLandmarks: expected {expected}")
        self.length, self.size, self.seed, self.difficulty = length, size, seed, difficulty

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        """Name of a picture in messages."""
        return f"synthetic-{self.seed}-{index}"

    def __getitem__(self, index: int) -> dict:
        portrait, pose, rng = self.portrait(index)
        return {
            "picture": Picture.of(camera.expose(portrait.image, rng, self.difficulty), self.name(index)),
            "gt_boxes": portrait.box[None],
            "gt_landmarks": portrait.points68[None],
            "pose": np.array([pose.yaw, pose.pitch, pose.roll], np.float32),
        }

    def portrait(self, index: int) -> tuple[Portrait, Pose, np.random.Generator]:
        """Picture `index` before the camera's effects, its pose, and the source of further randomness."""
        if not 0 <= index < self.length:
            raise IndexError(f"picture {index} of {self.length}")
        rng = np.random.default_rng((self.seed, index, 3))
        pose = Pose.draw(rng, 0.5 + self.difficulty)
        light, expression = Light.draw(rng, self.difficulty), Expression.draw(rng)
        occluder = Occluder.draw(rng) if rng.random() < 0.3 * self.difficulty else None
        return draw_portrait(Identity.draw(self.seed, index), pose, light, expression, self.size, rng, occluder), pose, rng
