"""The size at which a picture enters the network at test time, and resizing to it."""

from typing import Literal

import cv2
import numpy as np

from ppface.core.errors import DataError


class TestSize:
    """Test policy: original size, a fixed size, or a fixed long or short side with the aspect ratio kept.

    Args:
        mode: "native" keeps the picture's size; "stretch" takes exactly `size`; "long_side" and "short_side" scale that side to `size[0]`.
        size: (height, width) in pixels; unused by "native".
        max_side: upper limit of both sides in pixels (0: none); the aspect ratio is kept.

    Raises:
        ValueError: a mode other than "native" without a size.
    """

    __test__ = False  # not a test class, in spite of its name

    def __init__(
        self,
        mode: Literal["native", "stretch", "long_side", "short_side"] = "native",
        size: tuple[int, int] | None = None,
        max_side: int = 0,
    ):
        if mode != "native" and (size is None or min(size) < 1):
            raise ValueError(f"TestSize: expected size: [height, width] of at least 1 with mode {mode!r}, received {size}")
        self.mode, self.size, self.max_side = mode, size, max_side

    def of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture -> (height, width) at which it is tested, each at least 1."""
        if self.mode == "stretch" and self.size:
            return self.size
        scale = 1.0
        if self.size and self.mode in ("long_side", "short_side"):
            scale = self.size[0] / (max if self.mode == "long_side" else min)(height, width)
        if self.max_side:
            scale = min(scale, self.max_side / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3) uint8, the same image if it has that size."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    averaging = image.shape[0] * image.shape[1] > 4 * height * width  # as in training: bilinear interpolation reads only four pixels
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if averaging else cv2.INTER_LINEAR)


def aligned(image: np.ndarray, size: tuple[int, int], name: str, stretch: bool = False) -> np.ndarray:
    """An aligned face at the input size of a recognition network.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) of the network input.
        name: of the picture, for the message; "": unknown.
        stretch: resize a picture of another size instead of raising.

    Raises:
        DataError: another size.
    """
    check_aligned((image.shape[0], image.shape[1]), size, name, stretch)
    return resize(image, size)


def check_aligned(found: tuple[int, int], size: tuple[int, int], name: str, stretch: bool = False) -> None:
    """Raises DataError for a picture of another (height, width) than the network's, unless it may be stretched; see `aligned`."""
    if found != size and not stretch:
        expected = f"expected an aligned face of {size[1]}x{size[0]} pixels, received {found[1]}x{found[0]}"
        raise DataError(f"{name}{': ' * bool(name)}{expected}: align it with tools/align_faces.py, or enable `resize`")
