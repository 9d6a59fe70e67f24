"""Strokes on the skin: collected in 2D, projected onto the head and to the picture together, then painted in order."""

from dataclasses import dataclass

import cv2
import numpy as np

from ppface.data.synthetic import brush
from ppface.data.synthetic.brush import Color
from ppface.data.synthetic.surface import Surface

RIGHT, BOTH = (1,), (1, -1)  # sides of a stroke: as given, or also mirrored; right as seen in the picture
SOFT = 32  # side of the map of soft shadows


@dataclass(frozen=True)
class View:
    """The projection of head coordinates to pixels.

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

    Strokes on skin that faces away from the viewer are hidden. `sides` is RIGHT (as given) or BOTH (and mirrored).

    Args:
        finest: lines thinner than this (half head heights) are omitted.
    """

    def __init__(self, finest: float = 0.0):
        self.finest = finest
        self._strokes: list[tuple] = []  # kind, points, height, sides, paint, width

    def fill(self, points: np.ndarray, color: Color, height: float | np.ndarray = 0.0, sides: tuple = RIGHT) -> None:
        """A polygon."""
        self._strokes.append(("fill", points, height, sides, color, 0.0))

    def hull(self, points: np.ndarray, color: Color, height: float | np.ndarray = 0.0, sides: tuple = RIGHT) -> None:
        """The convex hull of the projected points."""
        self._strokes.append(("hull", points, height, sides, color, 0.0))

    def line(self, points: np.ndarray, color: Color, width: float, height: float | np.ndarray = 0.0, sides: tuple = RIGHT) -> None:
        """A line through the points, `width` in half head heights, at least a pixel."""
        if width >= self.finest:
            self._strokes.append(("line", points, height, sides, color, width))

    def shadow(self, points: np.ndarray, strength: float, height: float | np.ndarray = 0.0, sides: tuple = RIGHT) -> None:
        """A soft shadow (strength < 0) or light (> 0) in the polygon: the strength is added to the light."""
        self._strokes.append(("shadow", points, height, sides, strength, 0.0))

    def _flat(self) -> tuple[np.ndarray, list[tuple]]:
        """All points (n, 3) of x, y and height, and (kind, paint, width, start, stop) of each stroke on each side."""
        points = [points for _, points, _, sides, _, _ in self._strokes for _ in sides]
        flat = np.empty((sum(map(len, points)), 3))
        np.concatenate(points, out=flat[:, :2])
        spans, start = [], 0
        for kind, outline, height, sides, paint, width in self._strokes:
            for side in sides:
                stop = start + len(outline)
                flat[start:stop, 2] = height
                if side < 0:
                    flat[start:stop, 0] *= -1
                spans.append((kind, paint, width, start, stop))
                start = stop
        return flat, spans

    def paint(self, image: np.ndarray, cover: np.ndarray, surface: Surface, view: View) -> np.ndarray:
        """Paints all strokes in order; returns the soft shadows of the whole picture as a (SOFT, SOFT) map.

        Hulls may extend beyond the head, so they are also filled with 255 in `cover`.
        """
        soft = np.zeros((SOFT, SOFT), np.float32)
        flat, spans = self._flat()
        solid = surface.lift(flat)
        pixels = view(solid)
        sharp, coarse = brush.fixed(pixels), brush.fixed(pixels * (SOFT / len(image)))
        starts = [start for _, _, _, start, _ in spans]
        facing = np.add.reduceat(surface.outward(solid) @ view.matrix[2], starts)
        for (kind, paint, width, start, stop), toward in zip(spans, facing.tolist(), strict=True):
            if toward < 0.08 * (stop - start):
                continue
            outline = sharp[start:stop]
            if kind == "shadow":
                cv2.fillPoly(soft, [coarse[start:stop]], paint, cv2.LINE_8, brush.SHIFT)
            elif kind == "line":
                cv2.polylines(image, [outline], False, paint, max(1, round(width * view.scale)), cv2.LINE_AA, brush.SHIFT)
            elif kind == "fill":
                cv2.fillPoly(image, [outline], paint, cv2.LINE_AA, brush.SHIFT)
            else:
                outline = cv2.convexHull(outline)
                cv2.fillConvexPoly(image, outline, paint, cv2.LINE_AA, brush.SHIFT)
                cv2.fillConvexPoly(cover, outline, 255, cv2.LINE_AA, brush.SHIFT)
        return soft
