"""Hair: the volume behind the face, the locks in it, and the hair over the forehead."""

import numpy as np

from ppface.data.synthetic import brush
from ppface.data.synthetic.brush import curve
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.sketch import Sketch, View
from ppface.data.synthetic.surface import Surface

SWELL = {"cropped": 1.03, "short": 1.09, "swept": 1.10, "fringe": 1.10, "long": 1.11, "bob": 1.13, "bun": 1.05, "curly": 1.20}
COVERS_EARS = ("long", "bob")


def volume(identity: Identity, surface: Surface, view: View) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """The hair painted before the skin: its volume as polygons, and light and dark locks from the crown down; nothing for a bald head."""
    if identity.style == "bald":
        return [], [], []
    skull = surface.skull(SWELL[identity.style], low=0.2 if identity.style == "curly" else 0.55)
    pixels = view(skull)
    shapes = [brush.hull(pixels.reshape(-1, 2))]
    if identity.style in COVERS_EARS:
        low = 1.36 if identity.style == "long" else 0.80
        fall = ((0.80, -0.3), (0.87, 0.1), (0.88, 0.5 * low), (0.80, 0.9 * low), (0.62, low))
        ring = np.array([(side * x, y, z) for x, y in fall for side in (-1, 1) for z in (-0.7, 0.05)])
        shapes.append(brush.hull(view(ring * (identity.width, 1, 1))))
    if identity.style == "bun":
        x, y = view(np.array([(0.0, -1.08, -0.35)]))[0]
        shapes.append(brush.oval((x, y), (0.27 * view.scale, 0.25 * view.scale)))
    if identity.style == "curly":
        rim = shapes[0][:: max(1, len(shapes[0]) // 14)]
        shapes += [brush.oval((x, y), (0.15 * view.scale, 0.15 * view.scale), count=10) for x, y in rim]
        return shapes, [], []
    near = np.flatnonzero(skull[:, 1:].mean(axis=1) @ view.matrix[2] > 0.05)
    return shapes, [pixels[number, 1:] for number in near[::2]], [pixels[number, 1:] for number in near[1::2]]


def over_forehead(sketch: Sketch, identity: Identity) -> None:
    """A straight fringe, or hair parted at `part` that falls to both temples."""
    color, top, part = brush.shade(identity.hair, 1.06), identity.forehead - 0.16, identity.part
    if identity.style in ("fringe", "bob"):
        x = np.linspace(-0.64, 0.64, 13)
        low = -0.29 + 0.02 * np.cos(x * 25 + part * 9)
        sketch.hull(np.concatenate([curve(x, low), curve(x, top + 0.35 * x**2)]), color, 0.05)
        _strands(sketch, x, low, top, color)
    if identity.style in ("swept", "long", "short"):
        x = np.linspace(-0.62, 0.62, 13)
        drop = 0.42 if identity.style == "swept" else 0.26
        low = identity.forehead - 0.04 + drop * np.abs(x - part) ** 1.3
        _lay(sketch, x, np.minimum(low, 0.05), top, color)


def _lay(sketch: Sketch, x: np.ndarray, low: np.ndarray, top: float, color: brush.Color) -> None:
    crest = curve(x[::-1], top + 0.35 * x[::-1] ** 2)
    sketch.fill(np.concatenate([curve(x, low), crest]), color, 0.05)
    _strands(sketch, x, low, top, color)


def _strands(sketch: Sketch, x: np.ndarray, low: np.ndarray, top: float, color: brush.Color) -> None:
    for number in range(1, len(x) - 1, 2):
        strand = np.array([(x[number] * 0.9, top + 0.05), (x[number], low[number])])
        sketch.line(strand, brush.shade(color, 0.82), 0.016, 0.055)
