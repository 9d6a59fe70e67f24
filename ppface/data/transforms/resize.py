"""Resizes a sample to the network's input size."""

import numpy as np

from ppface.core.registry import register
from ppface.data.transforms import geometry


@register("transform")
class Resize:
    """Stretches the view to a fixed size, and drops faces that are then outside or too small.

    Source: the last step of PaddleDetection's face recipe (Resize, keep_ratio: False).

    Args:
        size: (height, width) in pixels.
        min_side: faces whose shorter side is less than this many pixels afterwards are dropped, >= 0.

    Shape:
        sample of any size -> the same sample of `size`

    Raises:
        ValueError: a size under 1, or a negative min_side.
    """

    def __init__(self, size: tuple[int, int], min_side: float = 0.0):
        if min(size) < 1:
            raise ValueError(f"Resize: expected a size of at least [1, 1], received {list(size)}")
        if min_side < 0:
            raise ValueError(f"Resize: expected min_side >= 0, received {min_side}")
        self.size, self.min_side = (size[0], size[1]), min_side

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        height, width = geometry.size(sample)
        if (height, width) != self.size:
            geometry.move(sample, geometry.view((0, 0, width, height), self.size), self.size)
        geometry.clip(sample, self.min_side)
        return sample
