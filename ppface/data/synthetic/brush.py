"""Anti-aliased drawing on uint8 pictures with subpixel coordinates."""

import functools
import math

import cv2
import numpy as np

Color = tuple[int, int, int]
SHIFT = 4  # fraction bits: coordinates in 1/16 pixels


def fixed(points: np.ndarray) -> np.ndarray:
    """Pixel coordinates as OpenCV's fixed-point integers."""
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def fill(image: np.ndarray, points: np.ndarray, color: Color | int) -> None:
    """Fills the polygon (n, 2)."""
    cv2.fillPoly(image, [fixed(points)], color, cv2.LINE_AA, SHIFT)


def hull(points: np.ndarray) -> np.ndarray:
    """The convex outline (m, 2) of points (n, 2)."""
    return cv2.convexHull(points.astype(np.float32))[:, 0]


def oval(center: tuple[float, float], axes: tuple[float, float], angle: float = 0.0, count: int = 20) -> np.ndarray:
    """(count, 2) points of an ellipse with half axes `axes`, turned by `angle` radians."""
    points = _circle(count) * axes
    if angle:
        cos, sin = math.cos(angle), math.sin(angle)
        points = points @ ((cos, sin), (-sin, cos))
    return points + center


@functools.cache
def _circle(count: int) -> np.ndarray:
    turns = np.arange(count) * (2 * np.pi / count)
    return curve(np.cos(turns), np.sin(turns))


def curve(x: np.ndarray, y: np.ndarray | float) -> np.ndarray:
    """(n, 2) from x (n,) and y (n,) or one number."""
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def hand(center: tuple[float, float], size: float, angle: float) -> list[np.ndarray]:
    """Polygons of an open hand whose fingers point along -y turned by `angle` radians; `size` is the palm's half width."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    shapes = [oval((0, 0), (1.0, 1.15)), np.array([(-0.7, 0.6), (0.7, 0.6), (0.75, 3.0), (-0.75, 3.0)])]
    for x, length, lean in ((-0.72, 0.95, -0.12), (-0.25, 1.15, -0.03), (0.25, 1.1, 0.04), (0.72, 0.85, 0.14)):
        shapes.append(oval((x + lean * 2, -0.8 - length), (0.22, length), lean, 12))
    shapes.append(oval((-1.25, -0.2), (0.26, 0.85), -0.7, 12))
    return [shape @ turn * size + center for shape in shapes]


def shade(color: Color, factor: float) -> Color:
    """A lighter (factor > 1) or darker colour."""
    red, green, blue = color
    return min(255, int(red * factor)), min(255, int(green * factor)), min(255, int(blue * factor))


def mix(first: Color, second: Color, share: float) -> Color:
    """`share` of the second colour in the first."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
