"""The size at which a picture enters the network at test time, resizing to it, and points back in the picture's pixels."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from ppface.core.errors import DataError

GREY = 128  # of a letterbox, in all channels
Mode = Literal["native", "stretch", "letterbox", "long_side", "short_side"]


@dataclass(frozen=True)
class Placement:
    """Where a picture is in the network's input: resized, in the middle, with grey around it.

    Args:
        picture: (height, width) of the picture.
        inner: (height, width) to which it is resized.
        size: (height, width) of the input, at least `inner`.
    """

    picture: tuple[int, int]
    inner: tuple[int, int]
    size: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """(y, x) of the picture's upper left corner in the input, in whole pixels."""
        return (self.size[0] - self.inner[0]) // 2, (self.size[1] - self.inner[1]) // 2

    @property
    def scale(self) -> float:
        """Pixels of the input per pixel of the picture, along its longer side."""
        return max(self.inner) / max(self.picture)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) uint8 -> the input (height, width, 3) uint8; the same image if it has that size."""
        resized = resize(image, self.inner)
        if self.inner == self.size:
            return resized
        (top, left), (height, width) = self.corner, self.inner
        canvas = np.full((*self.size, 3), GREY, np.uint8)
        canvas[top : top + height, left : left + width] = resized
        return canvas

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2), x and y in pixels of the input, in pixels of the picture."""
        scale = np.array([self.picture[1] / self.inner[1], self.picture[0] / self.inner[0]])
        return (points - np.array(self.corner[::-1])) * scale

    def rows_there(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of `rows_back`."""
        scale = np.array([self.inner[1] / self.picture[1], self.inner[0] / self.picture[0]])
        points = rows.reshape(len(rows), rows.shape[1] // 2, 2) * scale + np.array(self.corner[::-1])
        return points.reshape(rows.shape)

    def rows_back(self, rows: np.ndarray) -> np.ndarray:
        """Rows (N, 2P) of P points each, such as boxes x1, y1, x2, y2, in pixels of the input, in pixels of the picture."""
        return self.back(rows.reshape(len(rows), rows.shape[1] // 2, 2)).reshape(rows.shape)


class TestSize:
    """Test policy: original size, a fixed size, or a fixed long or short side with the aspect ratio kept.

    Args:
        mode: "native" keeps the picture's size; "stretch" takes exactly `size`; "letterbox" too, but keeps the aspect ratio: the whole
            picture fits into it, in the middle, and the rest is grey (128); "long_side" and "short_side" scale that side to `size[0]`.
        size: (height, width) in pixels; unused by "native".
        max_side: upper limit of both sides in pixels (0: none), with the aspect ratio kept; not used by "stretch", not allowed with
            "letterbox", whose size is fixed.
        coarser: for detectors: a second run at this fraction of the test size finds the faces that are too large for the first one; above 0
            and below 1, 0: none; not allowed with "stretch" and "letterbox". `ppface/ops/two_runs.py` merges the faces.
        large: longer side, in pixels of the test size, from which the faces of the second run are taken, > 0; unused without it.

    Raises:
        ValueError: an unknown mode, a mode other than "native" without a size, "letterbox" with max_side, or coarser or large out of range.
    """

    __test__ = False  # not a test class, in spite of its name
    coarser, large = 0.0, 0.0

    def __init__(
        self,
        mode: Mode = "native",
        size: tuple[int, int] | None = None,
        max_side: int = 0,
        coarser: float = 0.0,
        large: float = 250.0,
    ):
        if mode not in get_args(Mode):
            raise ValueError(f"TestSize: expected mode to be one of {', '.join(get_args(Mode))}, received {mode!r}")
        if mode != "native" and (size is None or min(size) < 1):
            raise ValueError(f"TestSize: expected size: [height, width] of at least 1 with mode {mode!r}, received {size}")
        if mode == "letterbox" and max_side:
            raise ValueError(f"TestSize: expected max_side: 0 with mode 'letterbox', whose size is fixed, received {max_side}")
        if coarser and not 0 < coarser < 1:
            raise ValueError(f"TestSize: expected coarser above 0 and below 1 (0: no second run), received {coarser}")
        if coarser and mode in ("stretch", "letterbox"):
            raise ValueError(f"TestSize: expected coarser: 0 with mode {mode!r}, whose size is fixed, received {coarser}")
        if not large > 0:
            raise ValueError(f"TestSize: expected large above 0 pixels, received {large}")
        self.mode, self.size, self.max_side = mode, size, max_side
        if coarser:  # otherwise no attributes of this object, whose attributes are a part of a model's identity
            self.coarser, self.large = float(coarser), float(large)

    @property
    def letterbox(self) -> bool:
        """Whether a picture of another aspect ratio gets grey borders."""
        return self.mode == "letterbox"

    def of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture -> (height, width) at which it is tested, each at least 1."""
        if self.mode in ("stretch", "letterbox") and self.size:
            return self.size
        scale = 1.0
        if self.size and self.mode in ("long_side", "short_side"):
            scale = self.size[0] / (max if self.mode == "long_side" else min)(height, width)
        if self.max_side:
            scale = min(scale, self.max_side / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def place(self, height: int, width: int) -> Placement:
        """Where a picture of (height, width) is in the network's input."""
        size = self.of(height, width)
        return letterboxed((height, width), size) if self.letterbox else Placement((height, width), size, size)

    def places(self, height: int, width: int) -> list[Placement]:
        """Where a picture of (height, width) is in the input of each run: `place`, and that of the coarser run, if there is one."""
        fine = self.place(height, width)
        if not self.coarser:
            return [fine]
        size = max(1, round(fine.size[0] * self.coarser)), max(1, round(fine.size[1] * self.coarser))
        return [fine, Placement(fine.picture, size, size)]


def letterboxed(picture: tuple[int, int], size: tuple[int, int]) -> Placement:
    """A picture of (height, width) scaled so that it just fits into another size."""
    scale = min(size[0] / picture[0], size[1] / picture[1])
    return Placement(picture, (max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))), size)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3) uint8, the same image if it has that size."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    averaging = image.shape[0] * image.shape[1] > 4 * height * width  # as in training: bilinear interpolation reads only four pixels
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if averaging else cv2.INTER_LINEAR)


def aligned(image: np.ndarray, size: tuple[int, int], name: str, stretch: bool = False, letterbox: bool = False) -> np.ndarray:
    """An aligned face at the input size of a recognition network.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) of the network input.
        name: of the picture, for the message; "": unknown.
        stretch: resize a picture of another size instead of raising.
        letterbox: fit it into the size instead, with grey borders.

    Raises:
        DataError: another size.
    """
    found = (image.shape[0], image.shape[1])
    if letterbox:
        return letterboxed(found, size).apply(image)
    check_aligned(found, size, name, stretch)
    return resize(image, size)


def check_aligned(found: tuple[int, int], size: tuple[int, int], name: str, stretch: bool = False) -> None:
    """Raises DataError for a picture of another (height, width) than the network's, unless it may be resized; see `aligned`."""
    if found != size and not stretch:
        expected = f"expected an aligned face of {size[1]}x{size[0]} pixels, received {found[1]}x{found[0]}"
        raise DataError(f"{name}{': ' * bool(name)}{expected}: align it with ppface align, or enable `resize`")
