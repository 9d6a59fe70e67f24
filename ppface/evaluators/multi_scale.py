"""Multi-scale testing: runs the detector on several sizes of a picture and its mirror image, and merges the boxes by voting."""

import numpy as np

from ppface.core.registry import register
from ppface.evaluators.detect import Predict, run
from ppface.ops.resize import TestSize
from ppface.ops.voting import vote


@register("augmented_test")
class MultiScale:
    """Scales, mirror image and box voting, as usual for detectors on WIDER FACE: S3FD, Zhang et al. 2017,
    https://arxiv.org/abs/1708.05237, and PyramidBox, Tang et al. 2018, https://arxiv.org/abs/1803.07737, in their public test code.

    All boxes of the picture at its test size and of its mirror image are kept. Of enlarged pictures only small boxes are kept, of reduced
    ones only large boxes, as a detector is least reliable at the other sizes. Do not compare the result with a single-scale one.

    Args:
        scales: additional factors on the test size, > 0 and not 1. The public code also uses factors above 2.
        flip: whether the mirror image is used too, at the test size.
        vote_iou: IoU from which boxes are merged, above 0 and up to 1.
        min_votes: boxes found in fewer views are dropped (the public code: 2; 1 keeps all).
        small_under: of enlarged pictures, boxes are kept whose shorter side is below this, in pixels of the test size.
        large_over: of reduced pictures, boxes are kept whose longer side is above this, in pixels of the test size.
        max_pixels: largest area of a view: a larger test size is scaled down to it, larger scales are skipped.
        max_faces: maximum number of faces per picture, > 0.

    Shape:
        predict, image (H, W, 3) uint8, size (height, width) -> (V, 5): x1, y1, x2, y2 in pixels of `image`, score, best first

    Raises:
        ValueError: a scale that is 1 or not positive, vote_iou outside 0..1, another number below its range.
    """

    def __init__(
        self,
        scales: list[float] = [0.25, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0],  # noqa: B006 (never changed)
        flip: bool = True,
        vote_iou: float = 0.3,
        min_votes: int = 1,
        small_under: float = 100.0,
        large_over: float = 30.0,
        max_pixels: int = 2_777_088,
        max_faces: int = 750,
    ):
        if not all(scale > 0 and scale != 1 for scale in scales):
            raise ValueError(f"MultiScale: expected scales above 0 and other than 1 (which is always used), received {scales}")
        if not 0 < vote_iou <= 1:
            raise ValueError(f"MultiScale: expected vote_iou above 0 and up to 1, received {vote_iou}")
        if min(min_votes, max_pixels, max_faces) < 1:
            received = f"{min_votes}, {max_pixels}, {max_faces}"
            raise ValueError(f"MultiScale: expected min_votes, max_pixels and max_faces of at least 1, received {received}")
        self.scales, self.flip = scales, flip
        self.vote_iou, self.min_votes, self.max_faces = vote_iou, min_votes, max_faces
        self.small_under, self.large_over, self.max_pixels = small_under, large_over, max_pixels

    def __call__(self, predict: Predict, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        base = TestSize("stretch", _scaled(size, min(1.0, (self.max_pixels / (size[0] * size[1])) ** 0.5)))
        views = [run(predict, [image], base)[0]]
        if self.flip:
            mirrored = np.ascontiguousarray(image[:, ::-1])
            views.append(_mirrored(run(predict, [mirrored], base)[0], image.shape[1]))
        for scale in self.scales:
            height, width = _scaled(size, scale)
            if height * width <= self.max_pixels:
                rows = run(predict, [image], TestSize("stretch", (height, width)))[0]
                views.append(self._reliable(rows, scale, size[0] / image.shape[0], size[1] / image.shape[1]))
        rows = np.concatenate(views)
        boxes, scores = vote(rows[:, :4], rows[:, 4], self.vote_iou, self.min_votes, self.max_faces)
        return np.concatenate([boxes, scores[:, None]], axis=1)

    def _reliable(self, rows: np.ndarray, scale: float, vertical: float, horizontal: float) -> np.ndarray:
        """The rows of a view at this scale whose size is reliable there."""
        sides = np.stack([(rows[:, 2] - rows[:, 0]) * horizontal, (rows[:, 3] - rows[:, 1]) * vertical])
        return rows[sides.min(axis=0) < self.small_under] if scale > 1 else rows[sides.max(axis=0) > self.large_over]


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def _mirrored(rows: np.ndarray, width: int) -> np.ndarray:
    """Boxes of the mirror image in the pixels of the image itself."""
    return np.stack([width - rows[:, 2], rows[:, 1], width - rows[:, 0], rows[:, 3], rows[:, 4]], axis=1)
