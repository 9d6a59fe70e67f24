"""The square around a face that a landmark network gets, in training, in evaluation and behind a detector."""

from collections.abc import Sequence

import numpy as np

MARGIN = 1.2  # around landmarks, as in PFLD's published code, https://github.com/polarisZhao/PFLD-pytorch, data/SetPreparation.py
# Around the box of a detector, which begins at the forehead, not at the brows: of RetinaFace on 75 photographs, its longer side is 1.25
# times that of the landmarks' box (nine in ten: 1.12 to 1.40), and its middle is higher by 0.15 of it. This gives about the same square.
DETECTED_MARGIN, DETECTED_SHIFT = 1.0, 0.15


def square(box: Sequence[float] | np.ndarray, margin: float = MARGIN, shift: float = 0.0) -> np.ndarray:
    """The square about the middle of a box, `margin` times as large as its longer side, which counts as at least one pixel; moved down by
    `shift` times that side.

    Shape:
        (4,) x1, y1, x2, y2 -> (4,) likewise; may reach beyond the picture
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    longer = max(1.0, *(high - low))
    middle, half = (low + high) / 2 + [0, shift * longer], margin * longer / 2
    return np.concatenate([middle - half, middle + half])
