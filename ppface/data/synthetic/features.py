"""Eyes, brows, nose, mouth, beard and moles as strokes on the skin."""

import numpy as np

from ppface.data.synthetic.brush import Color, curve, mix, oval, shade
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.sketch import BOTH, Sketch
from ppface.data.synthetic.variation import Expression

SIDES = (1, -1)  # right and left in the picture
LASH = (24, 16, 14)
T = np.linspace(-1, 1, 9)  # from corner to corner of an eye or the mouth
CLOSED = 0.85  # blink from which an eye is drawn closed
RINGS = np.concatenate([oval((0, 0), (radius, radius), count=12) for radius in (0.066, 0.056, 0.028)])  # rim, iris, pupil
ALONG = np.linspace(0, 1, 7)  # along a brow, from its inner end
TAPER = 1 - 0.75 * ALONG**2


def draw(sketch: Sketch, identity: Identity, expression: Expression) -> None:
    """Draws all features, from the skin upwards."""
    _moles(sketch, identity)
    _beard(sketch, identity)
    _eyes(sketch, identity, expression)
    _brows(sketch, identity, expression)
    _mouth(sketch, identity, expression)
    _nose(sketch, identity)
    if identity.glasses:
        _glasses(sketch, identity)


def eye_center(identity: Identity, side: float) -> tuple[float, float]:
    """x, y of one eye."""
    return side * identity.eye_spacing, identity.eye_height


def nose_tip(identity: Identity) -> tuple[float, float, float]:
    """x, y and height of the nose's tip."""
    return 0.0, identity.nose_length - 0.05, identity.nose_depth


def mouth_corners(identity: Identity, expression: Expression) -> np.ndarray:
    """(2, 2): x, y of the left and right corner."""
    x = identity.mouth_width * (1 + 0.15 * expression.smile - 0.12 * expression.opening)
    y = identity.mouth_height - 0.04 * expression.smile + 0.05 * expression.opening
    return np.array([(-x, y), (x, y)])


def lids(identity: Identity, expression: Expression, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lid, (n, 2) each, of the eye at the right in the picture, at t in -1 (inner corner) .. 1 (outer corner)."""
    x, y = eye_center(identity, 1.0)
    high, arc = identity.eye_opening * (1 - expression.blink) * (1 + 0.3 * expression.surprise), 1 - t**2
    across, level = x + identity.eye_width * t, y - identity.eye_slant * t
    return curve(across, level - high * 1.1 * arc**0.8), curve(across, level + (identity.eye_opening - 0.15 * high) * 0.75 * arc)


def brow(identity: Identity, expression: Expression, along: np.ndarray) -> np.ndarray:
    """(n, 2): the middle of the brow at the right in the picture, at 0 (inner end) .. 1."""
    inner = identity.eye_height - identity.brow_height - 0.07 * expression.surprise
    bend = np.sin(np.pi * 0.85 * along)
    return curve(0.11 + (identity.eye_spacing + 0.07) * along, inner - identity.brow_arch * bend - identity.brow_slant * along)


def lips(identity: Identity, expression: Expression, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Upper edge of the upper lip, its lower edge, and both edges of the lower lip, (n, 2) each, at t in -1 (left corner) .. 1 (right)."""
    _, (right, y) = mouth_corners(identity, expression)
    bend, gap, arc = 0.05 * expression.smile, 0.20 * expression.opening, 1 - t**2
    middle = y + bend * arc - 0.05 * expression.opening * arc
    lip, below = arc**0.75, middle + gap * arc**0.7
    top = middle - identity.upper_lip * lip * (1 - 0.22 * np.exp(-((t / 0.2) ** 2)))
    edges = (top, middle, below, below + identity.lower_lip * lip)
    first, second, third, fourth = (curve(right * t, edge) for edge in edges)
    return first, second, third, fourth


def ridge(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """The middle line of the nose from its root to its base: (5, 2), and its height over the skin, (5,)."""
    base, deep = identity.nose_length, identity.nose_depth
    tip = base - 0.05
    line = np.array([(0, -0.06), (0, tip * 0.5), (0, tip - 0.05), (0, tip), (0, base + 0.02)])
    return line, np.array([0.0, deep * 0.5, deep * 0.93, deep, deep * 0.35])


def _moles(sketch: Sketch, identity: Identity) -> None:
    for x, y, radius in identity.moles:
        if radius > sketch.finest:
            sketch.fill(oval((x, y), (radius, radius), count=8), shade(identity.skin, 0.55 if radius > 0.013 else 0.78))


def _eyes(sketch: Sketch, identity: Identity, expression: Expression) -> None:
    x, y = eye_center(identity, 1.0)
    upper, lower = lids(identity, expression, T)
    rim = np.concatenate([upper, lower[::-1]])
    sketch.shadow(oval((x, y - 0.05), (identity.eye_width * 1.5, 0.14), count=12), -0.10, sides=BOTH)
    if expression.blink > CLOSED:
        sketch.fill(rim, shade(identity.skin, 0.93), sides=BOTH)
        sketch.line(lower, LASH, 0.022, sides=BOTH)
        return
    sketch.fill(rim, (232, 226, 222), sides=BOTH)
    for side in SIDES:
        _iris(sketch, identity, expression, upper, lower, side)
    sketch.line(lower, shade(identity.skin, 0.72), 0.012, sides=BOTH)
    sketch.line(upper, LASH, 0.026, sides=BOTH)
    sketch.line(upper[1:-1] - (0, 0.045), shade(identity.skin, 0.74), 0.012, sides=BOTH)


def _iris(sketch: Sketch, identity: Identity, expression: Expression, upper: np.ndarray, lower: np.ndarray, side: int) -> None:
    """Rim, iris, pupil and highlight at the gaze position, clipped to the lids, which are given for the right eye."""
    x = identity.eye_spacing + side * expression.gaze[0] * identity.eye_width * 0.5
    y = identity.eye_height - 0.005 + expression.gaze[1] * 0.02
    rings = RINGS + (x, y)
    top, bottom = (np.interp(rings[:, 0], upper[:, 0], lid[:, 1]) for lid in (upper, lower))
    rings[:, 1] = np.minimum(np.maximum(rings[:, 1], top), bottom)
    for number, color in enumerate((shade(identity.iris, 0.7), identity.iris, (14, 10, 10))):
        sketch.fill(rings[12 * number : 12 * number + 12], color, sides=(side,))
    if lower[4, 1] - upper[4, 1] > 0.08 and sketch.finest < 0.014:
        sketch.fill(oval((x - side * 0.022, y - 0.024), (0.014, 0.014), count=8), (250, 250, 250), sides=(side,))


def _brows(sketch: Sketch, identity: Identity, expression: Expression) -> None:
    x, y = brow(identity, expression, ALONG).T
    thick = identity.brow_thickness * TAPER
    outline = np.concatenate([curve(x, y - thick), curve(x, y + thick)[::-1]])
    gray = min(identity.hair) > 130
    sketch.fill(outline, mix(identity.hair if gray else shade(identity.hair, 0.8), identity.skin, 0.2), 0.01, BOTH)


def _mouth(sketch: Sketch, identity: Identity, expression: Expression) -> None:
    _, (right, y) = mouth_corners(identity, expression)
    top, line, below, bottom = lips(identity, expression, T)
    gap = 0.20 * expression.opening
    rose = mix(identity.skin, (176, 62, 66), identity.lips * 0.7)
    upper_lip, lower_lip = shade(rose, 0.86), shade(rose, 0.97)
    sketch.shadow(oval((0, float(bottom[4, 1]) + 0.06), (right * 0.6, 0.045), count=12), -0.13)
    sketch.fill(np.concatenate([line, bottom[::-1]]), lower_lip, 0.03)
    sketch.fill(np.concatenate([top, line[::-1]]), upper_lip, 0.03)
    if gap > 0.02:
        inner = below[::-1] * (0.97, 1)
        sketch.fill(np.concatenate([line * (0.97, 1), inner]), (70, 22, 26), 0.02)
        teeth = curve(line[:, 0], np.minimum(below[:, 1], line[:, 1] + 0.065))[::-1] * (0.85, 1)
        sketch.fill(np.concatenate([line * (0.85, 1), teeth]), (236, 230, 220), 0.02)
    else:
        sketch.line(line, shade(upper_lip, 0.5), 0.016, 0.03)
    sketch.line(np.array([(right + 0.012, y - 0.012), (right - 0.02, y + 0.004)]), shade(identity.skin, 0.6), 0.014, 0.01, BOTH)


def _nose(sketch: Sketch, identity: Identity) -> None:
    base, wide, deep = identity.nose_length, identity.nose_width, identity.nose_depth
    tip, skin = base - 0.05, identity.skin
    middle, high = ridge(identity)
    sides = np.array([(0.05, -0.04), (0.055, tip * 0.5), (wide, tip), (wide * 0.9, base)])
    low = np.array([0.0, deep * 0.28, 0.02, 0.02])
    sketch.hull(np.concatenate([middle, sides, sides * (-1, 1)]), shade(skin, 1.02), np.concatenate([high, low, low]))
    flank = np.concatenate([sides[:3], middle[2::-1]])
    wing = np.array([(wide * 0.82, tip - 0.06), (wide, tip - 0.01), (wide * 0.96, base - 0.01), (wide * 0.72, base + 0.005)])
    nostril = oval((wide * 0.45, base - 0.005), (wide * 0.24, 0.018), -0.25, 10)
    heights = np.concatenate([low[:3], high[2::-1]])
    sketch.shadow(flank, -0.12, heights)
    sketch.shadow(flank * (-1, 1), 0.03, heights)
    sketch.line(wing, shade(skin, 0.72), 0.014, 0.03, BOTH)
    sketch.fill(nostril, shade(skin, 0.34), deep * 0.45, BOTH)
    sketch.shadow(oval((0, base + 0.05), (wide, 0.035), count=10), -0.12, 0.02)
    sketch.shadow(oval((0, tip - 0.02), (0.05, 0.05), count=10), 0.16, deep)


def _beard(sketch: Sketch, identity: Identity) -> None:
    if identity.beard == "none":
        return
    color: Color = mix(identity.skin, identity.hair, 0.3 if identity.beard == "stubble" else 0.85)
    mouth, width = identity.mouth_height, identity.mouth_width
    if identity.beard in ("stubble", "full"):
        edge = np.array([(0.66, 0.12), (0.56, 0.36), (0.40, 0.47), (width, mouth - 0.12), (0, mouth - 0.13)])
        jaw = np.array([(0.655, 0.30), (0.60, 0.55), (0.49, 0.76), (0.34, 0.92), (0.16, 0.99), (0, 1.0)])
        sketch.fill(np.concatenate([edge[::-1], jaw]), color, 0.01, BOTH)
    if identity.beard == "goatee":
        sketch.fill(oval((0, 0.87), (0.2, 0.15)), color, 0.01)
    if identity.beard in ("moustache", "goatee", "full"):
        half = np.array([(0, -0.15), (0.6 * width, -0.13), (1.15 * width, 0.02), (0.7 * width, -0.04), (0, -0.03)])
        sketch.fill(half + (0, mouth), color, 0.04, BOTH)


def _glasses(sketch: Sketch, identity: Identity) -> None:
    frame = (34, 30, 34)
    rim = oval((identity.eye_spacing + 0.01, identity.eye_height + 0.02), (0.22, 0.17), count=18)
    temple = np.array([(identity.eye_spacing + 0.23, 0.0), (0.69, -0.02)])
    sketch.line(np.concatenate([rim, rim[:1]]), frame, 0.028, 0.07, BOTH)
    sketch.line(temple, frame, 0.028, np.array([0.07, 0.02]), BOTH)
    sketch.line(np.array([(-0.09, 0.0), (0.0, -0.02), (0.09, 0.0)]), frame, 0.028, 0.1)
