"""The head's surface: horizontal slices whose width, depth and roundness follow from the identity."""

import numpy as np

from ppface.data.synthetic.identity import Identity

LEVELS = np.array([-1.0, -0.94, -0.82, -0.6, -0.35, -0.1, 0.15, 0.4, 0.6, 0.78, 0.9, 0.97, 1.0])
WIDTH = np.array([0.14, 0.34, 0.52, 0.65, 0.71, 0.72, 0.71, 0.67, 0.60, 0.48, 0.36, 0.25, 0.14])
FRONT = np.array([0.10, 0.36, 0.56, 0.70, 0.77, 0.77, 0.77, 0.78, 0.78, 0.77, 0.75, 0.70, 0.62])
BACK = np.array([0.10, 0.40, 0.64, 0.80, 0.88, 0.88, 0.80, 0.60, 0.35, 0.18, 0.02, -0.20, -0.35])
BUMPS = np.exp(-(((LEVELS - [[0.2], [0.7], [1.0]]) / [[0.3], [0.2], [0.15]]) ** 2))  # where cheek, jaw and chin are
ROUND = 2.4  # exponent of the slices' outline: 2 is an ellipse, larger is flatter in front


class Fan:
    """Directions around a slice, as column factors of its width and depth.

    Args:
        degrees: 0 is straight ahead, 90 to the right of the picture.
    """

    def __init__(self, degrees: np.ndarray):
        turns = np.radians(degrees)[:, None]
        self.cos, sin = np.cos(turns), np.sin(turns)
        bulge = (np.abs(self.cos) ** ROUND + np.abs(sin) ** ROUND) ** (-1 / ROUND)
        self.across, self.ahead = sin * bulge, self.cos * bulge
        self.before, self.behind = np.maximum(self.ahead, 0), np.minimum(self.ahead, 0)


EAR_TO_EAR = Fan(np.linspace(-100, 100, 15))
ALL_AROUND = Fan(np.arange(0, 360, 15))


class Surface:
    """One person's head without its features: depth of any point of the face, and the points of its outline.

    Attributes:
        width: (13,) half width of the slice at each of LEVELS.
        skin: (n, 3) points of the face's skin, hairline to chin and ear to ear.

    Lengths are in half head heights; x right, y down, z towards the viewer, the origin inside the head between the eyes.
    """

    def __init__(self, identity: Identity):
        factors = np.array([identity.cheek, identity.jaw, identity.chin])[:, None]
        self.width = WIDTH * identity.width * (1 + (factors - 1) * BUMPS).prod(axis=0)
        self.skin = self._below(identity.forehead)

    def lift(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) of x, y and height over the skin -> (n, 3) of x, y, z."""
        across = np.minimum(np.abs(points[:, 0]) / np.interp(points[:, 1], LEVELS, self.width), 1.0)
        depth = np.interp(points[:, 1], LEVELS, FRONT) * (1 - across**ROUND) ** (1 / ROUND)
        solid = points.copy()
        solid[:, 2] += depth
        return solid

    def outward(self, solid: np.ndarray) -> np.ndarray:
        """Directions out of the skin at points of `lift`, not of unit length; sufficient for visibility."""
        return solid * (1.0, 0.3, 0.9)

    def face(self) -> np.ndarray:
        """(n, 3): the part inside an annotator's box: the skin without the area near the ears."""
        return self.skin.reshape(len(EAR_TO_EAR.cos), -1, 3)[2:-2].reshape(-1, 3)

    def bald(self) -> np.ndarray:
        """(n, 3): the skin of a head without hair."""
        return self._below(-1.0)

    def _below(self, hairline: float) -> np.ndarray:
        """(n, 3): from the hairline (its y above the nose; it falls towards the temples) to the chin, from ear to ear."""
        return self._slices(EAR_TO_EAR, np.maximum(LEVELS, hairline + (1.0 + hairline) * (1 - EAR_TO_EAR.cos) * 1.2))

    def skull(self, swell: float, low: float) -> np.ndarray:
        """(24, 9, 3): the hair's volume, `swell` times the skull, all around above the ears and behind them down to y = low."""
        lines = self._slices(ALL_AROUND, np.minimum(LEVELS[:9], np.where(ALL_AROUND.cos > -0.1, 0.1, low)))
        return lines.reshape(24, 9, 3) * swell - (0, 0.03 * swell, 0)

    def _slices(self, fan: Fan, y: np.ndarray) -> np.ndarray:
        """(n, 3): points at heights y along the directions of a fan; y (rows, k) or (k,)."""
        points = np.empty((len(fan.cos), y.shape[-1], 3))
        points[..., 0] = np.interp(y, LEVELS, self.width) * fan.across
        points[..., 1] = y
        points[..., 2] = np.interp(y, LEVELS, FRONT) * fan.before + np.interp(y, LEVELS, BACK) * fan.behind
        return points.reshape(-1, 3)
