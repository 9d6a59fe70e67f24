"""Random crops of SSD, which keep at least one face."""

import numpy as np

from ppface.core.registry import register
from ppface.data.transforms import geometry
from ppface.ops import boxes


@register("transform")
class SsdCrop:
    """Crops a rectangle that has a required overlap with a face, and keeps the faces whose centre lies in it.

    Source: SSD, Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2 "Data augmentation". The requirements are tried in random
    order, each with `trials` rectangles; the first match is used, and without a match the sample stays unchanged. PaddleDetection's face
    recipe is square: true, overlaps: [[0, 1]], coverage: 1, whole: 0.2.

    Args:
        overlaps: requirements [least, most]: the IoU of the rectangle with at least one face, 0..1.
        scale: side of the rectangle relative to the view, from..to, 0..1.
        aspect: width / height of the rectangle relative to the view's, from..to, > 0; unused with `square`.
        coverage: share of at least one face that must lie in the rectangle, 0..1.
        square: crop squares; `scale` is then relative to the view's shorter side.
        whole: probability of the largest rectangle (scale 1) instead of a random one, 0..1; if one does not match, the other is tried.
        trials: random rectangles per requirement, >= 1.

    Shape:
        sample of (H, W) -> sample of at most (H, W), at least one pixel

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        overlaps: list[tuple[float, float]] = [(0, 1), (0.1, 1), (0.3, 1), (0.5, 1), (0.7, 1), (0.9, 1)],  # noqa: B006 (never changed)
        scale: tuple[float, float] = (0.3, 1.0),
        aspect: tuple[float, float] = (0.5, 2.0),
        coverage: float = 0.0,
        square: bool = False,
        whole: float = 1 / 7,
        trials: int = 50,
    ):
        if not overlaps or not all(0 <= least <= most <= 1 for least, most in overlaps):
            raise ValueError(f"SsdCrop: expected overlaps as a list of [least, most] in 0..1, received {overlaps}")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"SsdCrop: expected a scale [from, to] in 0..1, received {list(scale)}")
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"SsdCrop: expected an aspect [from, to] above 0, received {list(aspect)}")
        if not (0 <= coverage <= 1 and 0 <= whole <= 1):
            raise ValueError(f"SsdCrop: expected coverage and whole in 0..1, received coverage={coverage}, whole={whole}")
        if trials < 1:
            raise ValueError(f"SsdCrop: expected trials >= 1, received {trials}")
        self.overlaps, self.scale, self.aspect = overlaps, scale, aspect
        self.coverage, self.square, self.whole, self.trials = coverage, square, whole, trials

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        faces, size = geometry.boxes(sample).astype(np.float64), geometry.size(sample)
        whole = bool(rng.random() < self.whole)
        box = self._find(faces, size, whole, rng)
        if box is None and 0 < self.whole < 1:
            box = self._find(faces, size, not whole, rng)
        if box is not None:
            geometry.keep(sample, geometry.centre_inside(faces, box))
            cut = (max(1, round(box[3] - box[1])), max(1, round(box[2] - box[0])))
            geometry.move(sample, geometry.view(box, cut), cut)
            geometry.clip(sample)
        return sample

    def _find(self, faces: np.ndarray, size: tuple[int, int], whole: bool, rng: np.random.Generator) -> np.ndarray | None:
        """A rectangle that meets one of the requirements, or None."""
        for least, most in rng.permutation(self.overlaps):
            rectangles = self._draw(size, whole, rng)
            fits = np.ones(len(rectangles), bool) if len(faces) == 0 else self._fits(rectangles, faces, least, most)
            if fits.any():
                return rectangles[np.argmax(fits)]
        return None

    def _draw(self, size: tuple[int, int], whole: bool, rng: np.random.Generator) -> np.ndarray:
        """(trials, 4) rectangles inside the view; at scale s the aspect lies in s^2..1/s^2, so that the rectangle fits."""
        height, width = size
        scale = np.ones(self.trials) if whole else rng.uniform(*self.scale, self.trials)
        if self.square:
            sides = np.repeat(scale[:, None] * min(height, width), 2, axis=1)
        else:
            aspect = np.clip(rng.uniform(*self.aspect, self.trials), scale**2, scale**-2)
            sides = np.stack([width * scale * np.sqrt(aspect), height * scale / np.sqrt(aspect)], axis=1)
        corner = rng.random((self.trials, 2)) * np.maximum([width, height] - sides, 0)
        return np.concatenate([corner, corner + sides], axis=1)

    def _fits(self, rectangles: np.ndarray, faces: np.ndarray, least: float, most: float) -> np.ndarray:
        """Which rectangles meet the requirement with at least one face, and contain the centre of at least one."""
        common, face = boxes.intersection(rectangles, faces), np.maximum(boxes.area(faces), 1e-12)
        overlap = common / (boxes.area(rectangles)[:, None] + face - common)
        required = (overlap >= least) & (overlap <= most) & (common >= self.coverage * face - 1e-6 * face)
        centre = boxes.centres(faces)[None]
        inside = np.all((centre >= rectangles[:, None, :2]) & (centre <= rectangles[:, None, 2:]), axis=2)
        return required.any(axis=1) & inside.any(axis=1)
