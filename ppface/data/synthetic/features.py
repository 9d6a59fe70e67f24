"""Eyes, brows, nose, mouth, beard and moles as strokes on the skin."""

import numpy as np

from ppface.data.synthetic.brush import Color, curve, mix, oval, shade
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.mood import Expression
from ppface.data.synthetic.sketch import MIRROR, Sketch

SIDES = (-1.0, 1.0)  # left and right in the picture
T = np.linspace(-1, 1, 9)
ARC = 1 - T**2


def draw(sketch: Sketch, identity: Identity, expression: Expression) -> None:
    """All features, from the skin upwards."""
    _moles(sketch, identity)
    _beard(sketch, identity)
    for side in SIDES:
        _eye(sketch, identity, expression, side)
        _brow(sketch, identity, expression, side)
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


def _moles(sketch: Sketch, identity: Identity) -> None:
    for x, y, radius in identity.moles:
        sketch.fill(oval((x, y), (radius, radius), count=8), shade(identity.skin, 0.55 if radius > 0.013 else 0.78))


def _eye(sketch: Sketch, identity: Identity, expression: Expression, side: float) -> None:
    x, y = eye_center(identity, side)
    half, high = identity.eye_width, identity.eye_opening * (1 - expression.blink) * (1 + 0.3 * expression.surprise)
    slant = -identity.eye_slant * T * side
    upper = curve(x + half * T, y - high * 1.1 * ARC**0.8 + slant)
    lower = curve(x + half * T, y + (identity.eye_opening - 0.15 * high) * ARC * 0.75 + slant)
    lash = mix(shade(identity.skin, 0.3), (20, 14, 12), 0.6)
    sketch.shadow(oval((x, y - 0.05), (half * 1.5, 0.14), count=12), -0.10)
    if expression.blink > 0.85:
        sketch.fill(np.concatenate([upper - (0, 0.07), lower[::-1]]), shade(identity.skin, 0.93))
        sketch.line(lower, lash, 0.022)
        return
    sketch.fill(np.concatenate([upper, lower[::-1]]), (232, 226, 222))
    gaze_x, gaze_y = x + expression.gaze[0] * half * 0.5, y - 0.005 + expression.gaze[1] * 0.02
    for radius, color in ((0.066, shade(identity.iris, 0.7)), (0.056, identity.iris), (0.028, (14, 10, 10))):
        disc = oval((gaze_x, gaze_y), (radius, radius), count=14)
        disc[:, 1] = disc[:, 1].clip(np.interp(disc[:, 0], upper[:, 0], upper[:, 1]), np.interp(disc[:, 0], lower[:, 0], lower[:, 1]))
        sketch.fill(disc, color)
    if high > 0.04:
        sketch.fill(oval((gaze_x - 0.022, gaze_y - 0.024), (0.014, 0.014), count=8), (250, 250, 250))
    sketch.line(lower, shade(identity.skin, 0.72), 0.012)
    sketch.line(upper, lash, 0.026)
    sketch.line(upper[1:-1] - (0, 0.045), shade(identity.skin, 0.74), 0.012)


def _brow(sketch: Sketch, identity: Identity, expression: Expression, side: float) -> None:
    t = np.linspace(0, 1, 8)
    x = side * (0.11 + (identity.eye_spacing + 0.07) * t)
    rise = identity.brow_arch * np.sin(np.pi * np.minimum(t * 0.85, 1)) + identity.brow_slant * t
    y = identity.eye_height - identity.brow_height - 0.07 * expression.surprise - rise
    thick = identity.brow_thickness * (1 - 0.75 * t**2)
    outline = np.concatenate([curve(x, y - thick), curve(x, y + thick)[::-1]])
    gray = min(identity.hair) > 130
    sketch.fill(outline, mix(identity.hair if gray else shade(identity.hair, 0.8), identity.skin, 0.2), 0.01)


def _mouth(sketch: Sketch, identity: Identity, expression: Expression) -> None:
    (left, y), (right, _) = mouth_corners(identity, expression)
    bend, gap = 0.05 * expression.smile, 0.20 * expression.opening
    x, middle = right * T, y + bend * ARC - 0.05 * expression.opening * ARC
    bow = 1 - 0.22 * np.exp(-((T / 0.2) ** 2))
    top = middle - identity.upper_lip * ARC**0.75 * bow
    bottom = middle + gap * ARC**0.7 + identity.lower_lip * ARC**0.75
    rose = mix(identity.skin, (176, 62, 66), identity.lips * 0.7)
    upper_lip, lower_lip = shade(rose, 0.86), shade(rose, 0.97)
    line = curve(x, middle)
    sketch.shadow(oval((0, float(bottom[4]) + 0.06), (right * 0.6, 0.045), count=12), -0.13)
    sketch.fill(np.concatenate([line, curve(x, bottom)[::-1]]), lower_lip, 0.03)
    sketch.fill(np.concatenate([curve(x, top), line[::-1]]), upper_lip, 0.03)
    if gap > 0.02:
        inner = curve(x, middle + gap * ARC**0.7)[::-1] * (0.97, 1)
        sketch.fill(np.concatenate([line * (0.97, 1), inner]), (70, 22, 26), 0.02)
        teeth = curve(x, middle + np.minimum(gap * ARC**0.7, 0.065))[::-1] * (0.85, 1)
        sketch.fill(np.concatenate([line * (0.85, 1), teeth]), (236, 230, 220), 0.02)
    else:
        sketch.line(line, shade(upper_lip, 0.5), 0.016, 0.03)
    sketch.line(np.array([(left - 0.012, y - 0.012), (left + 0.02, y + 0.004)]), shade(identity.skin, 0.6), 0.014, 0.01)
    sketch.line(np.array([(right + 0.012, y - 0.012), (right - 0.02, y + 0.004)]), shade(identity.skin, 0.6), 0.014, 0.01)


def _nose(sketch: Sketch, identity: Identity) -> None:
    base, wide, deep = identity.nose_length, identity.nose_width, identity.nose_depth
    tip, skin = base - 0.05, identity.skin
    ridge = np.array([(0, -0.06), (0, tip * 0.5), (0, tip - 0.05), (0, tip), (0, base + 0.02)])
    sides = np.array([(0.05, -0.04), (0.055, tip * 0.5), (wide, tip), (wide * 0.9, base)])
    high = np.array([0.0, deep * 0.5, deep * 0.93, deep, deep * 0.35])
    low = np.array([0.0, deep * 0.28, 0.02, 0.02])
    sketch.hull(np.concatenate([ridge, sides, sides * MIRROR]), shade(skin, 1.02), np.concatenate([high, low, low]))
    for side in SIDES:
        flank = np.concatenate([sides[:3], ridge[2::-1]]) * (-side, 1)
        sketch.shadow(flank, 0.09 * side - 0.07, np.concatenate([low[:3], high[2::-1]]))
        wing = np.array([(wide * 0.82, tip - 0.06), (wide, tip - 0.01), (wide * 0.96, base - 0.01), (wide * 0.72, base + 0.005)])
        sketch.line(wing * (side, 1), shade(skin, 0.72), 0.014, 0.03)
        nostril = oval((side * wide * 0.45, base - 0.005), (wide * 0.24, 0.018), side * -0.25, 10)
        sketch.fill(nostril, shade(skin, 0.34), deep * 0.45)
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
        right = np.concatenate([edge[::-1], jaw])
        sketch.fill(np.concatenate([right, (right * MIRROR)[::-1]]), color, 0.01)
    if identity.beard == "goatee":
        sketch.fill(oval((0, 0.87), (0.2, 0.15)), color, 0.01)
    if identity.beard in ("moustache", "goatee", "full"):
        half = np.array([(0, mouth - 0.15), (width * 0.6, mouth - 0.13), (width * 1.15, mouth + 0.02), (width * 0.7, mouth - 0.04), (0, mouth - 0.03)])
        sketch.fill(np.concatenate([half, (half * MIRROR)[::-1]]), color, 0.04)


def _glasses(sketch: Sketch, identity: Identity) -> None:
    frame = (34, 30, 34)
    for side in SIDES:
        rim = oval((side * (identity.eye_spacing + 0.01), identity.eye_height + 0.02), (0.22, 0.17), count=18)
        sketch.line(np.concatenate([rim, rim[:1]]), frame, 0.028, 0.07)
        sketch.line(np.array([(side * (identity.eye_spacing + 0.23), 0.0), (side * 0.69, -0.02)]), frame, 0.028, np.array([0.07, 0.02]))
    sketch.line(np.array([(-0.09, 0.0), (0.0, -0.02), (0.09, 0.0)]), frame, 0.028, 0.1)
