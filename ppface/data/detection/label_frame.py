"""Boxes that were labelled in another frame than the upright picture: in stored pixels of a turned photograph, or before a resize."""

from typing import NamedTuple

import numpy as np

from ppface.data.pictures.picture import Picture

SMALLEST = 64  # shorter side from which labels may be those of a reduced picture, whose sides were rounded


class Frame(NamedTuple):
    """How labels relate to the upright picture.

    Attributes:
        scale: pixels of the stored picture per pixel of the labels, (x, y); (1, 1) if they have one size.
        turned: whether the labels ignore the EXIF orientation.
    """

    scale: tuple[float, float]
    turned: bool


def frame(stated: tuple[int, int], picture: Picture) -> Frame | None:
    """The frame of labels that state the size of their picture; None if it is neither the upright nor the stored one, nor a multiple.

    Args:
        stated: (height, width) that the label file gives.
        picture: its header is enough.
    """
    sizes = {False: picture.size} | ({True: picture.size[::-1]} if picture.orientation > 4 else {})
    for turned, size in sizes.items():
        if stated == size:
            return Frame((1.0, 1.0), turned)
    # equal shapes, each side of the smaller picture rounded to whole pixels
    rounding = max(sum(stated), sum(picture.size)) if min(stated) >= SMALLEST else sum(stated)
    for turned, (height, width) in sizes.items():
        if abs(stated[0] * width - stated[1] * height) <= rounding:
            return Frame((width / stated[1], height / stated[0]), turned)
    return None


def to_upright(boxes: np.ndarray, labels: Frame, picture: Picture) -> np.ndarray:
    """Boxes (G, 4) x1, y1, x2, y2 of that frame in pixels of the upright picture.

    Source: the orientation tag of EXIF 2.3, JEITA CP-3451C, section 4.6.4 A.
    """
    x1, y1, x2, y2 = (boxes * np.tile(np.array(labels.scale, np.float32), 2)).T
    if labels.turned:
        height, width = picture.size  # the stored picture's width is `height`
        across = (y1, y2) if picture.orientation in (5, 8) else (width - y2, width - y1)
        down = (x1, x2) if picture.orientation in (5, 6) else (height - x2, height - x1)
        x1, y1, x2, y2 = across[0], down[0], across[1], down[1]
    return np.stack([x1, y1, x2, y2], axis=1)
