"""Strokes on the skin: collected flat, lifted onto the head and projected all at once, then painted in order."""

from dataclasses import dataclass

import cv2
import numpy as np

from ppface.data.synthetic import brush
from ppface.data.synthetic.brush import Color
from ppface.data.synthetic.surface import Surface

MIRROR = np.array([-1.0, 1.0])
SOFT = 32  # side of the map of soft shadows


@dataclass(frozen=True)
class View:
    """How head coordinates become pixels.

    Args:
        matrix: 3x3, of a `Pose`.
        scale: pixels of half a head height.
        center: x and y of the head's origin in the picture, the same number.
    """

    matrix: np.ndarray
    scale: float
    center: float

    def __call__(self, solid: np.ndarray) -> np.ndarray:
        """(..., 3) -> (..., 2) pixels."""
        return solid @ (self.matrix[:2].T * self.scale) + self.center


class Sketch:
    """A list of strokes in x, y of the face (half head heights), each at some height over the skin.

    Skin that turns away from the viewer hides its strokes.

    Args:
        finest: lines thinner than this (half head heights) are left out.
    """

    def __init__(self, finest: float = 0.0) -> None:
        self.finest = finest
        self._points: list[np.ndarray] = []
        self._heights: list[float | np.ndarray] = []
        self._strokes: list[tuple[str, Color | float, float]] = []

    def _add(self, kind: str, points: np.ndarray, height: float | np.ndarray, paint: Color | float, width: float = 0.0) -> None:
        self._points.append(points)
        self._heights.append(height)
        self._strokes.append((kind, paint, width))

    def fill(self, points: np.ndarray, color: Color, height: float | np.ndarray = 0.0) -> None:
        """A polygon."""
        self._add("fill", points, height, color)

    def hull(self, points: np.ndarray, color: Color, height: float | np.ndarray = 0.0) -> None:
        """Whatever the convex outline of the points is, seen from where the viewer stands."""
        self._add("hull", points, height, color)

    def line(self, points: np.ndarray, color: Color, width: float, height: float | np.ndarray = 0.0) -> None:
        """A line through the points, `width` in half head heights, at least a pixel."""
        if width >= self.finest:
            self._add("line", points, height, color, width)

    def shadow(self, points: np.ndarray, strength: float, height: float | np.ndarray = 0.0) -> None:
        """A soft shadow (strength < 0) or light (> 0) in the polygon: what is added to the light there."""
        self._add("shadow", points, height, strength)

    def paint(self, image: np.ndarray, cover: np.ndarray, surface: Surface, view: View) -> np.ndarray:
        """Paints all strokes in order; returns the soft shadows of the whole picture as a (SOFT, SOFT) map.

        Hulls may stand out of the head, so they are filled with 255 in `cover` as well.
        """
        soft = np.zeros((SOFT, SOFT), np.float32)
        counts = np.array([len(points) for points in self._points])
        starts = np.cumsum(counts) - counts
        flat = np.empty((counts.sum(), 3))
        np.concatenate(self._points, out=flat[:, :2])
        for start, count, height in zip(starts.tolist(), counts.tolist(), self._heights, strict=True):
            flat[start : start + count, 2] = height
        solid = surface.lift(flat)
        pixels = view(solid)
        sharp, coarse = brush.fixed(pixels), brush.fixed(pixels * (SOFT / len(image)))
        facing = np.add.reduceat(surface.outward(solid) @ view.matrix[2], starts) / counts
        for (kind, paint, width), start, count, seen in zip(self._strokes, starts.tolist(), counts.tolist(), facing.tolist(), strict=True):
            if seen < 0.08:
                continue
            outline = sharp[start : start + count]
            if kind == "shadow":
                cv2.fillPoly(soft, [coarse[start : start + count]], paint, cv2.LINE_8, brush.SHIFT)
            elif kind == "line":
                cv2.polylines(image, [outline], False, paint, max(1, round(width * view.scale)), cv2.LINE_AA, brush.SHIFT)
            elif kind == "fill":
                cv2.fillPoly(image, [outline], paint, cv2.LINE_AA, brush.SHIFT)
            else:
                outline = cv2.convexHull(outline)
                cv2.fillConvexPoly(image, outline, paint, cv2.LINE_AA, brush.SHIFT)
                cv2.fillConvexPoly(cover, outline, 255, cv2.LINE_AA, brush.SHIFT)
        return soft
