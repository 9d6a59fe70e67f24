"""The head's surface: horizontal slices, each wide, deep and rounded as the identity says."""

import numpy as np

from ppface.data.synthetic.identity import Identity

LEVELS = np.array([-1.0, -0.94, -0.82, -0.6, -0.35, -0.1, 0.15, 0.4, 0.6, 0.78, 0.9, 0.97, 1.0])
WIDTH = np.array([0.14, 0.34, 0.52, 0.65, 0.71, 0.72, 0.71, 0.67, 0.60, 0.48, 0.36, 0.25, 0.14])
FRONT = np.array([0.10, 0.36, 0.56, 0.70, 0.77, 0.77, 0.77, 0.78, 0.78, 0.77, 0.75, 0.70, 0.62])
BACK = np.array([0.10, 0.40, 0.64, 0.80, 0.88, 0.88, 0.80, 0.60, 0.35, 0.18, 0.02, -0.20, -0.35])
TURNS = np.radians(np.linspace(-100, 100, 17))  # the visible side of each slice: 0 is straight ahead
ROUND = 2.4  # exponent of the slices' front: 2 is an ellipse, larger is flatter


class Surface:
    """One person's head without its features: depth of any point of the face, and the points that bound it.

    Lengths are in half head heights; x right, y down, z towards the viewer, the origin inside the head between the eyes.
    """

    def __init__(self, identity: Identity):
        cheek = 1 + (identity.cheek - 1) * np.exp(-(((LEVELS - 0.2) / 0.3) ** 2))
        jaw = 1 + (identity.jaw - 1) * np.exp(-(((LEVELS - 0.7) / 0.2) ** 2))
        chin = 1 + (identity.chin - 1) * np.exp(-(((LEVELS - 1.0) / 0.15) ** 2))
        self.width = WIDTH * identity.width * cheek * jaw * chin
        self.forehead = identity.forehead

    def lift(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) of x, y and height over the skin -> (n, 3) of x, y, z."""
        across = np.minimum(np.abs(points[:, 0]) / np.interp(points[:, 1], LEVELS, self.width), 1.0)
        depth = np.interp(points[:, 1], LEVELS, FRONT) * (1 - across**ROUND) ** (1 / ROUND)
        return np.column_stack([points[:, :2], depth + points[:, 2]])

    def outward(self, solid: np.ndarray) -> np.ndarray:
        """Directions out of the skin at points of `lift`, not of unit length; enough to see which side they are on."""
        return solid * (1.0, 0.3, 0.9)

    def skin(self, hairline: float) -> np.ndarray:
        """(n, 3): the face's skin from the hairline (its y above the nose) to the chin and from ear to ear; -1 takes in the whole skull."""
        edge = hairline + (1.0 + hairline) * (1 - np.cos(TURNS)) * 1.2 if hairline > -1 else np.full(len(TURNS), -1.0)
        y = np.maximum(LEVELS[None], edge[:, None])
        return self._slices(TURNS[:, None], y)

    def face(self) -> np.ndarray:
        """(n, 3): what an annotator's box goes around: forehead to chin, cheek to cheek."""
        return self._slices(TURNS[2:-2, None], np.maximum(LEVELS[None], self.forehead))

    def skull(self, swell: float, low: float) -> np.ndarray:
        """(n, 3): the hair's volume, `swell` times the skull, all around above the ears and behind them down to y = low."""
        turns = np.radians(np.arange(0, 360, 12))[:, None]
        front = np.cos(turns) > -0.1
        y = np.minimum(LEVELS[None, :9], np.where(front, 0.1, low))
        return self._slices(turns, y) * (swell, swell, swell) + (0, -0.03 * swell, 0)

    def _slices(self, turns: np.ndarray, y: np.ndarray) -> np.ndarray:
        turns, y = np.broadcast_arrays(turns, y)
        cos, sin = np.cos(turns), np.sin(turns)
        depth = np.where(cos > 0, np.interp(y, LEVELS, FRONT), np.interp(y, LEVELS, BACK))
        bulge = (np.abs(cos) ** ROUND + np.abs(sin) ** ROUND) ** (-1 / ROUND)
        x = np.interp(y, LEVELS, self.width) * sin * bulge
        return np.stack([x, y, depth * cos * bulge], axis=-1).reshape(-1, 3)
