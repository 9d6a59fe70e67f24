"""The parameters that change between pictures of one person: pose, light and expression."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pose:
    """Direction of the head in degrees: yaw > 0 to the right of the picture, pitch > 0 down, roll > 0 clockwise as seen."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, spread: float = 1.0) -> "Pose":
        """Mostly near the front; at spread 1 one face in ten has a yaw of more than 45 degrees."""
        yaw, pitch, roll = (rng.standard_normal(3) * (27, 11, 12)).clip((-75, -28, -50), (75, 28, 50)) * spread
        return cls(float(yaw), float(pitch), float(roll))

    def matrix(self) -> np.ndarray:
        """3x3: head coordinates (x right, y down, z towards the viewer) -> picture directions; pitch first, then yaw, then roll."""
        (cy, cp, cr), (sy, sp, sr) = np.cos(angles := np.radians([self.yaw, self.pitch, self.roll])), np.sin(angles)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return tilt @ turn @ nod


@dataclass(frozen=True)
class Light:
    """Direction and softness of the light.

    Args:
        direction: unit vector towards the light: x right, y down, z towards the viewer.
        ambient: share of ambient light, 0..1.
    """

    direction: tuple[float, float, float] = (-0.36, -0.48, 0.80)
    ambient: float = 0.55

    @classmethod
    def draw(cls, rng: np.random.Generator, harshness: float = 0.5) -> "Light":
        """From above or the side, never from behind; the higher the harshness, the less ambient light."""
        x, y, z = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.1), rng.uniform(0.5, 1.0)
        norm = float(np.sqrt(x * x + y * y + z * z))
        return cls((x / norm, y / norm, z / norm), float(rng.uniform(0.75 - 0.45 * harshness, 0.75)))


@dataclass(frozen=True)
class Expression:
    """Facial expression.

    Args:
        opening: of the mouth, 0..1.
        smile: -1 (corners down) .. 1.
        blink: 0 open .. 1 closed eyes.
        surprise: height of the raised brows, 0..1.
        gaze: direction of the eyes within their opening, x and y in -1..1.
    """

    opening: float = 0.0
    smile: float = 0.0
    blink: float = 0.0
    surprise: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Expression":
        """A closed mouth in 60 % of the pictures, closed eyes in 8 %."""
        opening = rng.uniform(0.1, 1.0) if rng.random() < 0.4 else 0.0
        blink = 1.0 if rng.random() < 0.08 else rng.uniform(0.0, 0.35)
        gaze_x, gaze_y = rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.4)
        return cls(float(opening), float(rng.uniform(-0.4, 1.0)), float(blink), float(rng.uniform(0, 1) ** 2), (gaze_x, gaze_y))
