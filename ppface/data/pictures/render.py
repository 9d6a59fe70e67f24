"""The pixels of a sample: one decode at the smallest sufficient size, one colour transform, one warp of uint8."""

import cv2
import numpy as np

from ppface.data.pictures.picture import Picture

FILL = (124, 116, 104)  # RGB outside the picture: the mean of ImageNet, near the means the models subtract
UNKNOWN = 255  # label of a mask outside the picture


def render(
    picture: Picture,
    matrix: np.ndarray,
    size: tuple[int, int],
    color: np.ndarray | None = None,
    fill: tuple[float, float, float] = FILL,
    shown: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Renders a view of a picture.

    An upright view is cut at whole pixels, so that it can be resized instead of warped; its matrix differs from the
    requested one by at most half a pixel of the picture at its borders.

    Args:
        matrix: 3x3, picture to view, in continuous coordinates (geometry.py).
        size: (height, width) of the view.
        color: 3x4, (RGB, 1) to RGB, or 3x7, (RGB, mean RGB of the picture, 1) to RGB; None leaves the colours.
        fill: RGB outside the picture; not changed by `color`.
        shown: (4,) x1, y1, x2, y2 of the part of the picture that is rendered, the rest is filled; None: all of it.

    Returns:
        (3, height, width) uint8, and the 3x3 matrix that was used.
    """
    scales = np.hypot(matrix[0, :2], matrix[1, :2])  # view pixels per picture pixel, along x and along y of the picture
    reduce = next(factor for factor in (8, 4, 2, 1) if factor == 1 or factor * scales.max() <= 1 + 1e-6)
    from_reduced = np.diag([reduce, reduce, 1.0])
    pixels = picture.decode(reduce)
    source = np.array([pixels.shape[1], pixels.shape[0]], np.float64)
    shown = np.concatenate([0 * source, source]) if shown is None else np.clip(shown / reduce, 0, np.tile(source, 2))
    if color is not None and color.shape[1] == 7:
        x1, y1, x2, y2 = (round(edge) for edge in shown)
        mean = np.array(cv2.mean(pixels[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])[:3])
        color = np.hstack([color[:, :3], color[:, 3:6] @ mean[:, None] + color[:, 6:]])
    draw = _upright if matrix[0, 1] == 0 == matrix[1, 0] else _turned
    image, drawn = draw(pixels, matrix @ from_reduced, size, color, np.clip(np.round(fill), 0, 255), shown)
    return image, drawn @ np.linalg.inv(from_reduced)


def coarsened(image: np.ndarray, share: float, down: int, up: int) -> np.ndarray:
    """(3, H, W) shrunk to `share` of its sides and enlarged again, by OpenCV's interpolations `down` and `up`."""
    height, width = image.shape[1:]
    pixels = cv2.merge(list(image))
    small = cv2.resize(pixels, (max(1, int(share * width)), max(1, int(share * height))), interpolation=down)
    return np.stack(cv2.split(cv2.resize(small, (width, height), interpolation=up)))


def render_mask(mask: np.ndarray, matrix: np.ndarray, size: tuple[int, int], shown: np.ndarray | None = None) -> np.ndarray:
    """The view of a labelled mask: each pixel has the label of the nearest pixel of the picture, or UNKNOWN outside of it.

    Args:
        mask: (H, W) uint8, labels of the picture's pixels.
        matrix: the one that `render` used for the picture.
        size: (height, width) of the view.
        shown: (4,) x1, y1, x2, y2 of the part of the picture that is rendered; None: all of it.

    Returns:
        (height, width) uint8
    """
    if shown is not None:
        x1, y1, x2, y2 = np.clip(np.round(shown), 0, np.tile(mask.shape[::-1], 2)).astype(int)
        whole, mask = mask, np.full_like(mask, UNKNOWN)
        mask[y1:y2, x1:x2] = whole[y1:y2, x1:x2]
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's coordinates have their origin at a pixel centre
    centres = np.linalg.inv(half) @ matrix @ half
    return cv2.warpAffine(mask, centres[:2], (size[1], size[0]), flags=cv2.INTER_NEAREST, borderValue=UNKNOWN)


def _upright(pixels, matrix, size, color, fill, shown) -> tuple[np.ndarray, np.ndarray]:
    """A view without rotation or shear: cut out, resize, mirror if the matrix does."""
    (u1, u2, x1, x2), (v1, v2, y1, y2) = (
        _span(matrix[axis, axis], matrix[axis, 2], shown[axis::2], pixels.shape[1 - axis], size[1 - axis]) for axis in (0, 1)
    )
    image = np.empty((3, *size), np.uint8)
    whole = (x2 - x1, y2 - y1) == (size[1], size[0])
    if not whole:
        for plane, value in zip(image, fill, strict=True):
            plane.fill(value)
    if x1 == x2 or y1 == y2:
        return image, matrix
    part = pixels[v1:v2, u1:u2]
    if color is not None:
        part = cv2.transform(part, color)
    across, down = (u2 - u1) / (x2 - x1), (v2 - v1) / (y2 - y1)
    if (across, down) != (1, 1):
        averaging = across * down > 4  # more than the four pixels that linear interpolation uses
        part = cv2.resize(part, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA if averaging else cv2.INTER_LINEAR)
    mirrored = [axis for axis in (0, 1) if matrix[axis, axis] < 0]
    if mirrored:
        part = cv2.flip(part, {(0,): 1, (1,): 0, (0, 1): -1}[tuple(mirrored)])
    cv2.split(part, list(image[:, y1:y2, x1:x2]))  # writes the planes in place
    return image, _drawn(matrix, (u1, u2, x1, x2), (v1, v2, y1, y2))


def _span(scale: float, shift: float, shown: np.ndarray, source: int, output: int) -> tuple[int, int, int, int]:
    """Along one axis: which whole pixels of the picture, from..to, fill which whole pixels of the view, from..to."""
    start, stop = (min(max(edge, 0.0), output) for edge in sorted((scale * shown + shift).tolist()))
    x1, x2 = round(start), round(stop)
    if x1 == x2:
        return 0, 0, x1, x2
    low, high = sorted(((start - shift) / scale, (stop - shift) / scale))
    u1 = min(max(round(low), 0), source - 1)
    return u1, min(max(round(high), u1 + 1), source), x1, x2


def _drawn(matrix: np.ndarray, *spans: tuple[int, int, int, int]) -> np.ndarray:
    """The matrix that maps each span's picture pixels exactly to its view pixels."""
    drawn = np.eye(3)
    for axis, (u1, u2, x1, x2) in enumerate(spans):
        scale = (x2 - x1) / (u2 - u1)
        mirrored = matrix[axis, axis] < 0
        drawn[axis, axis] = -scale if mirrored else scale
        drawn[axis, 2] = x2 + scale * u1 if mirrored else x1 - scale * u1
    return drawn


def _turned(pixels, matrix, size, color, fill, shown) -> tuple[np.ndarray, np.ndarray]:
    """Any other affine view, by one warp; OpenCV's coordinates have their origin at a pixel centre."""
    x1, y1 = np.floor(np.maximum(shown[:2] - 1, 0)).astype(
        int
    )  # one pixel more, for correct interpolation at the border of views without a crop
    x2, y2 = np.ceil(shown[2:] + 1).astype(int)
    pixels = pixels[y1:y2, x1:x2]
    if color is not None:
        pixels = cv2.transform(pixels, color)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centres = np.linalg.inv(half) @ matrix @ half @ np.array([[1, 0, x1], [0, 1, y1], [0, 0, 1]])
    image = cv2.warpAffine(pixels, centres[:2], (size[1], size[0]), flags=cv2.INTER_LINEAR, borderValue=[float(value) for value in fill])
    return np.ascontiguousarray(image.transpose(2, 0, 1)), matrix
