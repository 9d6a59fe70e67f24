"""A crop that scales one face to the size of a random anchor."""

from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from ppface.core.registry import Kind, register
from ppface.data.transforms import geometry


@register("transform")
class DataAnchorSampling:
    """Scales the view so that one random face gets a random size near an anchor, and cuts out `size` around it.

    Source: PyramidBox, Tang et al. 2018, https://arxiv.org/abs/1803.07737, section 3.4, with the limits of PaddleDetection's
    CropWithDataAchorSampling: let s_face = sqrt(w h) of the face and t be the first anchor scale s_t >= s_face (else the last). Then

        i uniform in 0..t,   s uniform in s_i / 2 .. 2 s_i,   for i = t at most 2 s_face

    so faces are mostly made smaller and never more than twice as large at their own scale. Unlike there, faces larger than
    the second-last scale can reach the last one, boxes are never normalised twice, and landmarks are dropped with their faces.

    Args:
        size: (height, width) of the view that is cut out, in pixels.
        scales: anchor sides in pixels, increasing.
        p: probability of this crop, 0..1.
        otherwise: transform that is applied instead, also to pictures without a face.
        min_size: faces with sqrt(w h) below this many pixels in the crop are dropped, >= 0.
        trials: crops tried until one keeps a face; else the sample stays unchanged, >= 1.

    Shape:
        sample of any size -> sample of `size`, or the result of `otherwise`

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: list[float] = [16, 32, 64, 128],  # noqa: B006 (never changed)
        p: float = 0.5,
        otherwise: Annotated[Any, Kind("transform")] | None = None,
        min_size: float = 8.0,
        trials: int = 10,
    ):
        if min(size) < 1:
            raise ValueError(f"DataAnchorSampling: expected a size of at least [1, 1], received {list(size)}")
        if not scales or scales[0] <= 0 or any(low >= high for low, high in pairwise(scales)):
            raise ValueError(f"DataAnchorSampling: expected increasing scales above 0, received {scales}")
        if not 0 <= p <= 1:
            raise ValueError(f"DataAnchorSampling: expected p in 0..1, received {p}")
        if min_size < 0 or trials < 1:
            raise ValueError(f"DataAnchorSampling: expected min_size >= 0 and trials >= 1, received {min_size} and {trials}")
        self.size, self.scales, self.p = (size[0], size[1]), np.array(scales, np.float64), p
        self.otherwise, self.min_size, self.trials = otherwise, min_size, trials

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        faces = geometry.boxes(sample).astype(np.float64)
        if rng.random() >= self.p or len(faces) == 0:
            return self.otherwise(sample, rng) if self.otherwise else sample
        for _ in range(self.trials):
            face = faces[rng.integers(len(faces))]
            box = self._draw(face, geometry.size(sample), rng)
            kept = geometry.centre_inside(faces, box) & self._large_enough(faces, box)
            if kept.any():
                geometry.keep(sample, kept)
                geometry.move(sample, geometry.view(box, self.size), self.size)
                geometry.clip(sample)
                break
        return sample

    def target(self, side: float, rng: np.random.Generator) -> float:
        """The target size in pixels, sqrt(w h), of a face of `side` pixels."""
        own = min(int(np.searchsorted(self.scales, side)), len(self.scales) - 1)
        chosen = int(rng.integers(own + 1))
        least, most = self.scales[chosen] / 2, self.scales[chosen] * 2
        return rng.uniform(least, max(least, min(most, 2 * side)) if chosen == own else most)

    def _draw(self, face: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """The crop. Along each axis it contains the view if it is longer than the view, else it contains the face or lies in it."""
        side = np.sqrt(np.prod(face[2:] - face[:2]))
        extent = np.array(self.size[::-1]) * side / self.target(side, rng)
        view = np.array(size[::-1])
        ends = np.where(extent >= view, view - extent, face[2:] - extent), np.where(extent >= view, 0, face[:2])
        corner = rng.uniform(np.minimum(*ends), np.maximum(*ends))
        return np.concatenate([corner, corner + extent])

    def _large_enough(self, faces: np.ndarray, box: np.ndarray) -> np.ndarray:
        cut = np.maximum(np.minimum(faces[:, 2:], box[2:]) - np.maximum(faces[:, :2], box[:2]), 0)
        cut *= np.array(self.size[::-1]) / (box[2:] - box[:2])
        return np.prod(cut, axis=1) >= self.min_size**2
