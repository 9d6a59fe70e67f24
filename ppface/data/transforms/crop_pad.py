"""Keeps a part of the picture in place and fills the rest."""

import numpy as np

from ppface.core.registry import register
from ppface.data.transforms import geometry


@register("transform")
class CropPad:
    """Keeps a random rectangle of the picture in its place and fills the rest.

    Source: AdaFace, Kim et al. 2022, https://arxiv.org/abs/2204.00964, section 4.1 "Training": the cropping augmentation, with the area
    and shape of its published code (https://github.com/mk-minchul/AdaFace): a random resized crop that is put back where it was.

    Args:
        scale: area of the rectangle relative to the picture's, from..to, 0..1.
        aspect: width / height of the rectangle, from..to, > 0; drawn on a logarithmic scale. A rectangle that exceeds the
            picture is cut to its size (the published code draws again).
        p: probability of cropping, 0..1.
        fill: RGB around the rectangle, 0..255 each.

    Shape:
        sample -> sample of the same size

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.2, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        p: float = 0.2,
        fill: tuple[float, float, float] = (0, 0, 0),
    ):
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"CropPad: expected a scale [from, to] in 0..1, received {list(scale)}")
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"CropPad: expected an aspect [from, to] above 0, received {list(aspect)}")
        if not 0 <= p <= 1:
            raise ValueError(f"CropPad: expected p in 0..1, received {p}")
        if not all(0 <= value <= 255 for value in fill):
            raise ValueError(f"CropPad: expected a fill of 0..255 each, received {list(fill)}")
        self.scale, self.log_aspect, self.p, self.fill = scale, np.log(aspect), p, tuple(fill)

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if rng.random() >= self.p:
            return sample
        height, width = sample["picture"].size
        area, shape = rng.uniform(*self.scale), np.exp(rng.uniform(*self.log_aspect))
        w = min(width, max(1, round(np.sqrt(area * height * width * shape))))
        h = min(height, max(1, round(np.sqrt(area * height * width / shape))))
        x, y = (int(rng.integers(room + 1)) for room in (width - w, height - h))
        geometry.show_only(sample, np.array([x, y, x + w, y + h], np.float64))
        sample["_fill"] = self.fill
        return sample
