"""Mirrors left and right, including landmarks and head pose."""

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.transforms import geometry


def _sides_of(number: int, *pairs: tuple[list[int], list[int]]) -> list[int]:
    """The index of the old landmark for each new one: pairs change places, others stay."""
    sides = list(range(number))
    for left, right in pairs:
        for one, other in zip(left, right, strict=True):
            sides[one], sides[other] = other, one
    return sides


def _turned(first: int, last: int) -> tuple[list[int], list[int]]:
    """Landmarks first..last in reverse order."""
    half = range((last - first + 1) // 2)
    return [first + i for i in half], [last - i for i in half]


SIDES = {  # number of landmarks -> index of the old landmark for each new one
    5: [1, 0, 2, 4, 3],  # eye, eye, nose, mouth corner, mouth corner
    6: [1, 0, 2, 3, 5, 4],  # eye, eye, nose, mouth, ear, ear
    68: _sides_of(  # 300-W: jaw, brows, wings of the nose, eyes, outer and inner lips
        68,
        _turned(0, 16),
        _turned(17, 26),
        _turned(31, 35),
        ([36, 37, 38, 39, 40, 41], [45, 44, 43, 42, 47, 46]),
        _turned(48, 54),
        _turned(55, 59),
        _turned(60, 64),
        ([65], [67]),
    ),
    98: _sides_of(  # WFLW: jaw, brows, wings of the nose, eyes, outer and inner lips, pupils
        98,
        _turned(0, 32),
        ([*range(33, 42)], [46, 45, 44, 43, 42, 50, 49, 48, 47]),
        _turned(55, 59),
        ([*range(60, 68)], [72, 71, 70, 69, 68, 75, 74, 73]),
        _turned(76, 82),
        _turned(83, 87),
        _turned(88, 92),
        _turned(93, 95),
        ([96], [97]),
    ),
}


@register("transform")
class Flip:
    """Mirrors the view left to right. Landmarks change sides: the left eye of a mirrored face is its old right eye.

    Source: PaddleDetection's RandomFlip, which mirrors landmarks without exchanging them; here they are exchanged.

    Args:
        p: probability of flipping, 0..1.
        sides: for each landmark, the index of its mirror landmark (its own on the midline); None: defaults for 5, 6, 68 (300-W) and
            98 (WFLW) landmarks.

    Shape:
        sample -> sample of the same size

    Raises:
        ValueError: p outside 0..1, or `sides` that do not pair up.
        DataError: a number of landmarks without known `sides`.
    """

    def __init__(self, p: float = 0.5, sides: list[int] | None = None):
        if not 0 <= p <= 1:
            raise ValueError(f"Flip: expected p in 0..1, received {p}")
        for at, one in enumerate(sides or []):
            back = sides[one] if sides and 0 <= one < len(sides) else None
            if back != at:
                other = "" if back is None else f", whose own is {back}"
                expected = f"expected sides that pair the landmarks 0..{len(sides or []) - 1}"
                raise ValueError(f"Flip: {expected}, received {one} as the mirror landmark of {at}{other}")
        self.p, self.sides = p, sides

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if rng.random() >= self.p:
            return sample
        height, width = geometry.size(sample)
        geometry.move(sample, np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]), (height, width))
        if "gt_landmarks" in sample:
            sample["gt_landmarks"] = sample["gt_landmarks"][:, self._sides(sample)]
        if "pose" in sample:
            sample["pose"] = np.asarray(sample["pose"]) * np.array([-1, 1, -1], np.float32)  # yaw and roll change sign
        return sample

    def _sides(self, sample: dict) -> list[int]:
        number = sample["gt_landmarks"].shape[1]
        sides = SIDES.get(number) if self.sides is None else self.sides
        if sides is None or len(sides) != number:
            known = "5, 6, 68 or 98" if self.sides is None else len(self.sides)
            raise DataError(f"{sample['picture'].name}: Flip: expected {known} landmarks per face, received {number}: set `sides`")
        return sides
