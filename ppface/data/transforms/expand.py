"""Puts the picture on a larger canvas, so that faces become smaller."""

import numpy as np

from ppface.core.registry import register
from ppface.data.pictures.render import FILL
from ppface.data.transforms import geometry


@register("transform")
class Expand:
    """Puts the picture at a random place of a canvas up to `max_ratio` times as high and wide.

    Source: SSD, Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 3.6 (the "zoom out" of its data augmentation).
    PaddleDetection's `prob` is the probability of not expanding; `p` is that of expanding.

    Args:
        max_ratio: the ratio is drawn from 1..max_ratio, >= 1.
        p: probability of expanding, 0..1.
        fill: RGB of the canvas, 0..255 each.

    Shape:
        sample of (H, W) -> sample of (r H, r W), r in 1..max_ratio

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(self, max_ratio: float = 4.0, p: float = 0.5, fill: tuple[float, float, float] = FILL):
        if max_ratio < 1:
            raise ValueError(f"Expand: expected max_ratio >= 1, received {max_ratio}")
        if not 0 <= p <= 1:
            raise ValueError(f"Expand: expected p in 0..1, received {p}")
        if not all(0 <= value <= 255 for value in fill):
            raise ValueError(f"Expand: expected a fill of 0..255 each, received {list(fill)}")
        self.max_ratio, self.p, self.fill = max_ratio, p, tuple(fill)

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if rng.random() >= self.p:
            return sample
        ratio, across, down = rng.uniform([1, 0, 0], [self.max_ratio, 1, 1])
        height, width = geometry.size(sample)
        size = (round(height * ratio), round(width * ratio))
        shift = [[1, 0, across * (size[1] - width)], [0, 1, down * (size[0] - height)], [0, 0, 1]]
        geometry.move(sample, np.array(shift), size)
        sample["_fill"] = self.fill
        return sample
