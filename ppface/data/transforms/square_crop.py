"""The square crop of RetinaFace's training recipe."""

import numpy as np

from ppface.core.registry import register
from ppface.data.transforms import geometry
from ppface.ops import boxes


@register("transform")
class SquareCrop:
    """Crops a square of random size that contains a face, or pads the picture to a square.

    Source: https://github.com/biubug6/Pytorch_Retinaface, data/data_augment.py, after RetinaFace, Deng et al. 2020,
    https://arxiv.org/abs/1905.00641, section 4.2. Squares are drawn until one contains at least one face wholly; the faces whose centre
    lies in it are kept. Without such a square, or without faces, the picture is padded at the right and the bottom.

    Args:
        scales: sides of the square relative to the view's shorter side, each above 0 and at most 1; one is drawn a square.
        trials: squares that are drawn, >= 1.
        fill: RGB of the padding, 0..255 each.

    Shape:
        sample of (H, W) -> sample of a square view

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        scales: list[float] = [0.3, 0.45, 0.6, 0.8, 1.0],  # noqa: B006 (never changed)
        trials: int = 250,
        fill: tuple[float, float, float] = (123, 117, 104),
    ):
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise ValueError(f"SquareCrop: expected scales above 0 and at most 1, received {scales}")
        if trials < 1:
            raise ValueError(f"SquareCrop: expected trials >= 1, received {trials}")
        if not all(0 <= value <= 255 for value in fill):
            raise ValueError(f"SquareCrop: expected a fill of 0..255 each, received {list(fill)}")
        self.scales, self.trials, self.fill = np.array(scales), trials, tuple(fill)

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        faces, (height, width) = geometry.boxes(sample).astype(np.float64), geometry.size(sample)
        sides = np.maximum(1, (rng.choice(self.scales, self.trials) * min(height, width)).astype(int))
        corners = (rng.random((self.trials, 2)) * (np.array([width, height]) - sides[:, None] + 1)).astype(int)
        squares = np.concatenate([corners, corners + sides[:, None]], axis=1).astype(np.float64)
        fits = (boxes.intersection(squares, faces) >= boxes.area(faces) - 1e-6).any(axis=1) if len(faces) else np.zeros(self.trials, bool)
        if fits.any():
            square = squares[fits.argmax()]
            geometry.keep(sample, geometry.centre_inside(faces, square))
        else:
            square = np.array([0.0, 0.0, max(height, width), max(height, width)])
            sample["_fill"] = self.fill
        side = int(square[2] - square[0])
        geometry.move(sample, geometry.view(square, (side, side)), (side, side))
        geometry.clip(sample)
        return sample
