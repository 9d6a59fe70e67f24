"""Simulates a low-resolution picture."""

import cv2
import numpy as np

from ppface.core.registry import register

INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@register("transform")
class LowResolution:
    """Downsamples the view by a random factor and upsamples it again, each with a random interpolation.

    Source: AdaFace, Kim et al. 2022, https://arxiv.org/abs/2204.00964, section 4.1 "Training", with the range and the five
    interpolations of its published code (https://github.com/mk-minchul/AdaFace).

    Args:
        side: side of the downsampled view relative to the original, from..to, 0..1.
        p: probability of applying it, 0..1.

    Shape:
        sample -> sample of the same size; pixels change at rendering, after all other transforms

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(self, side: tuple[float, float] = (0.2, 1.0), p: float = 0.2):
        if not 0 < side[0] <= side[1] <= 1:
            raise ValueError(f"LowResolution: expected a side [from, to] in 0..1, received {list(side)}")
        if not 0 <= p <= 1:
            raise ValueError(f"LowResolution: expected p in 0..1, received {p}")
        self.side, self.p = side, p

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if rng.random() < self.p:
            down, up = rng.integers(len(INTERPOLATIONS), size=2)
            sample["_resolution"] = (float(rng.uniform(*self.side)), INTERPOLATIONS[down], INTERPOLATIONS[up])
        return sample
