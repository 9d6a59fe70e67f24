"""The 68 landmarks of 300-W on a drawn head."""

import numpy as np

from ppface.data.synthetic import features
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.surface import LEVELS, Surface
from ppface.data.synthetic.variation import Expression

# height and share of the head's width of jaw points 0 to 8, from the ear down to the chin
JAW = np.array([(0.02, 0.97), (0.17, 0.97), (0.33, 0.97), (0.48, 0.97), (0.63, 0.97), (0.77, 0.95), (0.88, 0.92), (0.96, 0.75), (1.0, 0.0)])
LID = np.array([-1, -1 / 3, 1 / 3, 1])  # from the inner to the outer corner
OUTER, INNER = np.array([-2 / 3, -0.27, 0, 0.27, 2 / 3]), np.array([-0.85, -0.35, 0, 0.35, 0.85])  # of the lips, from corner to corner


def points68(identity: Identity, expression: Expression, surface: Surface) -> np.ndarray:
    """(68, 3) in head coordinates, in the order of 300-W, Sagonas et al. 2016, https://doi.org/10.1016/j.imavis.2016.01.002: jaw, brows,
    nose, eyes, lips. They are points of the head itself: in a turned face the far ones are hidden, and the jaw's are not its outline."""
    parts = [_jaw(surface), _brows(identity, expression), _nose(identity), _eyes(identity, expression), _lips(identity, expression)]
    return surface.lift(np.concatenate(parts))


def _jaw(surface: Surface) -> np.ndarray:
    y, share = JAW.T
    right = np.column_stack([share * np.interp(y, LEVELS, surface.width), y, 0 * y])
    return np.concatenate([_mirrored(right), right[-2::-1]])


def _brows(identity: Identity, expression: Expression) -> np.ndarray:
    right = _solid(features.brow(identity, expression, np.linspace(0, 1, 5)), 0.01)
    return np.concatenate([_mirrored(right)[::-1], right])


def _nose(identity: Identity) -> np.ndarray:
    line, height = features.ridge(identity)
    y = np.linspace(0, identity.nose_length - 0.05, 4)  # from between the eyes to the tip
    bridge = np.column_stack([0 * y, y, np.interp(y, line[:, 1], height)])
    across = 0.9 * identity.nose_width * np.linspace(-1, 1, 5)
    under = identity.nose_depth * np.array([0, 0.3, 0.35, 0.3, 0]) + np.array([0.02, 0, 0, 0, 0.02])
    return np.concatenate([bridge, np.column_stack([across, np.full(5, identity.nose_length), under])])


def _eyes(identity: Identity, expression: Expression) -> np.ndarray:
    upper, lower = features.lids(identity, expression, LID)
    if expression.blink > features.CLOSED:
        upper = lower
    upper, lower = _solid(upper, 0), _solid(lower, 0)
    left = _mirrored(np.concatenate([upper[::-1], lower[1:3]]))  # the outer corner is the first
    return np.concatenate([left, upper, lower[2:0:-1]])


def _lips(identity: Identity, expression: Expression) -> np.ndarray:
    top, _, _, bottom = features.lips(identity, expression, OUTER)
    _, above, below, _ = features.lips(identity, expression, INNER)
    left, right = features.mouth_corners(identity, expression)
    flat = np.concatenate([[left], top, [right], bottom[::-1], above, below[3:0:-1]])
    return _solid(flat, 0.03)


def _solid(flat: np.ndarray, height: float) -> np.ndarray:
    return np.column_stack([flat, np.full(len(flat), height)])


def _mirrored(points: np.ndarray) -> np.ndarray:
    return points * (-1, 1, 1)
