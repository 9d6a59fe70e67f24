"""Applies transforms to hard samples only."""

from typing import Annotated, Any

import numpy as np

from ppface.core.errors import UserError
from ppface.core.registry import Kind, register


@register("transform")
class OnHard:
    """Transforms for the hard samples of EasyHard; easy ones stay as they are. With LowResolution, Photometric and CropPad at p: 1, all
    degradations of AdaFace at once, Kim et al. 2022, https://arxiv.org/abs/2204.00964, section 4.1.

    Args:
        transforms: applied in this order.

    Shape:
        sample with hard () -> sample

    Raises:
        UserError: a sample that does not state whether it is hard.
    """

    def __init__(self, transforms: list[Annotated[Any, Kind("transform")]]):
        self.transforms = transforms

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if "hard" not in sample:
            raise UserError("OnHard: expected samples that state whether they are hard: use the data set EasyHard")
        for transform in self.transforms if sample["hard"] else ():
            sample = transform(sample, rng)
        return sample
