"""Occluders: sunglasses, mask, scarf, hand or bar in front of a face."""

from dataclasses import dataclass

import numpy as np

from ppface.data.synthetic import brush
from ppface.data.synthetic.identity import SKIN
from ppface.data.synthetic.sketch import BOTH, Sketch, View
from ppface.data.synthetic.surface import Surface

KINDS = ("sunglasses", "mask", "scarf", "hand", "bar")
CLOTH = ((236, 238, 240), (120, 170, 205), (38, 40, 46), (150, 40, 48), (70, 96, 62), (196, 160, 60), (92, 74, 120))
# right halves of worn objects, in half head heights
LENS = np.array([(0.07, -0.12), (0.30, -0.15), (0.54, -0.12), (0.52, 0.08), (0.36, 0.17), (0.16, 0.14), (0.08, 0.03)])
TEMPLE = np.array([(0.52, -0.10), (0.70, -0.06), (0.70, 0.0), (0.52, -0.03)])
JAW = [(0.66, 0.42), (0.58, 0.65), (0.43, 0.86), (0.2, 1.0), (0.0, 1.0)]
MASK = np.array([(0.0, 0.14), (0.0, 0.37), (0.22, 0.20), (0.50, 0.28), (0.67, 0.22), *JAW])
SCARF = np.array([(0.0, 0.45), (0.35, 0.44), *JAW])


@dataclass(frozen=True)
class Occluder:
    """One object in front of one face.

    Args:
        kind: one of KINDS.
        color: RGB 0..255.
        place: x and y of a hand's or bar's middle, in half head heights.
        angle: of a hand or bar, radians.
    """

    kind: str
    color: brush.Color
    place: tuple[float, float] = (0.4, 0.5)
    angle: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Occluder":
        """A random kind at a plausible position."""
        kind = KINDS[rng.integers(len(KINDS))]
        cloth = CLOTH[rng.integers(len(CLOTH))]
        color = {"sunglasses": (22, 20, 26), "hand": tuple(SKIN[rng.integers(len(SKIN))].tolist())}.get(kind, cloth)
        place = (float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.5, 0.9)))
        return cls(kind, color, place, float(rng.uniform(-0.9, 0.9)))

    def paint(self, image: np.ndarray, mask: np.ndarray, surface: Surface, view: View) -> None:
        """Paints the occluder over the head, and its shape with 255 into the mask."""
        if self.kind in ("hand", "bar"):
            for number, shape in enumerate(self._held(view)):
                brush.fill(image, shape, brush.shade(self.color, 1.0 - 0.04 * (number % 3)))
                brush.fill(mask, shape, 255)
            return
        sketch = Sketch()
        self._worn(sketch)
        sketch.paint(image, mask, surface, view)

    def _held(self, view: View) -> list[np.ndarray]:
        center = (view.center + self.place[0] * view.scale, view.center + self.place[1] * view.scale)
        if self.kind == "hand":
            return brush.hand(center, 0.27 * view.scale, self.angle)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        bar = np.array([(-0.13, -1.0), (0.13, -1.0), (0.13, 1.0), (-0.13, 1.0)]) @ np.array([[cos, sin], [-sin, cos]])
        return [bar * view.scale + center]

    def _worn(self, sketch: Sketch) -> None:
        if self.kind == "sunglasses":
            sketch.hull(LENS, self.color, 0.09, BOTH)
            sketch.hull(TEMPLE, self.color, 0.04, BOTH)
            sketch.hull(np.array([(-0.09, -0.10), (0.09, -0.10), (0.09, -0.04), (-0.09, -0.04)]), self.color, 0.1)
            return
        right = MASK if self.kind == "mask" else SCARF
        high = np.where(right[:, 0] > 0.3, 0.05, np.where(np.abs(right[:, 1] - 0.4) < 0.1, 0.27, 0.12))  # over the nose
        sketch.hull(np.concatenate([right, right * (-1, 1)]), self.color, np.concatenate([high, high]))
