"""Converts a sample of a data set to the arrays of a batch: transforms set its geometry and colour, then the pixels are rendered once."""

from collections.abc import Callable

import numpy as np

from ppface.data.batch import KEYS
from ppface.data.pictures.render import FILL, coarsened, render, render_mask
from ppface.data.transforms import geometry


class Pipeline:
    """Runs the transforms in order and renders the resulting view. Independent of the task: all keys of batch.KEYS are passed on.

    Args:
        transforms: each `(sample, rng) -> sample`; all randomness comes from `rng`, so (seed, epoch, index) fixes the result.

    Shape:
        {"picture": Picture, "gt_boxes": (G, 4), ...} -> {"image": (3, H, W) uint8, "gt_boxes": (G', 4), ...}, sizes as the
        transforms leave them; without transforms, that of the picture.

    Raises:
        DataError: a broken picture.
    """

    def __init__(self, transforms: list[Callable[[dict, np.random.Generator], dict]]):
        self.transforms = transforms

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
        sample = {"_matrix": np.eye(3), "_color": None, "_fill": FILL, "_resolution": None, **sample}
        for transform in self.transforms:
            sample = transform(sample, rng)
        matrix, size = sample["_matrix"], geometry.size(sample)
        image, rendered = render(sample["picture"], matrix, size, sample["_color"], sample["_fill"], sample.get("_shown"))
        if sample["_resolution"]:
            image = coarsened(image, *sample["_resolution"])
        if "gt_occlusion" in sample:
            sample["gt_occlusion"] = render_mask(sample["gt_occlusion"], rendered, size, sample.get("_shown"))
        geometry.move(sample, rendered @ np.linalg.inv(matrix), size)  # at most half a pixel: the view was cut at whole pixels
        geometry.clip(sample)
        return {"image": image} | {key: value for key, value in sample.items() if key in KEYS}
