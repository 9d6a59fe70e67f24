"""The square around a face that a landmark network gets, in training, in evaluation and behind a detector."""

from collections.abc import Sequence

import numpy as np

MARGIN = 1.2  # as in PFLD's published code, https://github.com/polarisZhao/PFLD-pytorch, data/SetPreparation.py


def square(box: Sequence[float] | np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """The square about the middle of a box, `margin` times as large as its longer side, which counts as at least one pixel.

    Shape:
        (4,) x1, y1, x2, y2 -> (4,) likewise; may reach beyond the picture
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    middle, half = (low + high) / 2, margin * max(1.0, *(high - low)) / 2
    return np.concatenate([middle - half, middle + half])
