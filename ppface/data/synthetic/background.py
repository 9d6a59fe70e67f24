"""Backgrounds: colours, textures, shapes, and objects that resemble faces."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from ppface.data.synthetic import brush
from ppface.data.synthetic.identity import HAIR, SKIN


def muted(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """(*shape, 3) uint8 RGB: colours of any lightness, rarely saturated."""
    level, tint = rng.integers(10, 246, (*shape, 1)), rng.standard_normal((*shape, 3)) * 26
    return (level + tint).clip(0, 255).astype(np.uint8)


def backdrop(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8 RGB: a smooth gradient, a texture of blobs, and plain shapes in any colour."""
    height, width = size
    across = int(rng.integers(2, 6))
    image = cv2.resize(muted(rng, across, across), (width, height), interpolation=cv2.INTER_LINEAR)
    grain = int(rng.integers(6, 40))
    blobs = cv2.resize(muted(rng, grain, grain), (width, height), interpolation=cv2.INTER_CUBIC)
    image = cv2.addWeighted(image, 1.0, blobs, share := float(rng.uniform(0, 0.3)), -127 * share)
    for color in muted(rng, int(rng.integers(3, 12))).tolist():
        _shape(image, tuple(color), rng)
    return image


def _shape(image: np.ndarray, color: brush.Color, rng: np.random.Generator) -> None:
    height, width = image.shape[:2]
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    a, b = rng.uniform(0.02, 0.35, 2) * min(height, width)
    turn, kind = rng.uniform(0, np.pi), rng.integers(4)
    if kind == 0:
        brush.fill(image, brush.oval((x, y), (a, b), turn), color)
    elif kind == 1:
        brush.fill(image, brush.oval((x, y), (a, b), turn, count=4), color)
    elif kind == 2:
        brush.fill(image, np.array([(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)]), color)
    else:
        ends = np.array([(x, y), (x + 4 * a * np.cos(turn), y + 4 * b * np.sin(turn))])
        cv2.polylines(image, [brush.fixed(ends)], False, color, int(rng.integers(1, 4)), cv2.LINE_AA, brush.SHIFT)


def distract(image: np.ndarray, count: int, face_size: tuple[float, float], rng: np.random.Generator) -> None:
    """Paints `count` objects with the colours and sizes of faces; `face_size` as in `draw_scene`."""
    height, width = image.shape[:2]
    for _ in range(count):
        radius = 0.5 * min(height, width) * math.exp(rng.uniform(*np.log(face_size).tolist()))
        center = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        skin, hair = (tuple(colors[rng.integers(len(colors))].tolist()) for colors in (SKIN, HAIR))
        draw: Callable = DISTRACTORS[rng.integers(len(DISTRACTORS))]
        draw(image, center, radius, skin, hair, rng)


def _ball(image: np.ndarray, center: tuple, radius: float, skin: brush.Color, hair: brush.Color, rng: np.random.Generator) -> None:
    """A shaded skin-coloured ball with a few dark spots at random positions."""
    for step in range(4):
        offset = (center[0] - 0.08 * step * radius, center[1] - 0.1 * step * radius)
        brush.fill(image, brush.oval(offset, (radius * (1 - 0.2 * step),) * 2), brush.shade(skin, 0.75 + 0.1 * step))
    for x, y in rng.uniform(-0.6, 0.6, (rng.integers(4), 2)):
        brush.fill(image, brush.oval((center[0] + x * radius, center[1] + y * radius), (radius * 0.12,) * 2, count=8), hair)


def _hand(image: np.ndarray, center: tuple, radius: float, skin: brush.Color, hair: brush.Color, rng: np.random.Generator) -> None:
    """An open hand."""
    for number, shape in enumerate(brush.hand(center, radius * 0.5, float(rng.uniform(-1.5, 1.5)))):
        brush.fill(image, shape, brush.shade(skin, 1.0 - 0.05 * (number % 3)))


def _blank(image: np.ndarray, center: tuple, radius: float, skin: brush.Color, hair: brush.Color, rng: np.random.Generator) -> None:
    """A head with hair and without facial features."""
    x, y = center
    turn = float(rng.uniform(-0.4, 0.4))
    brush.fill(image, brush.oval((x, y - 0.35 * radius), (0.92 * radius, 1.05 * radius), turn), hair)
    for step in range(3):
        axes = (radius * (0.76 - 0.1 * step), radius * (1 - 0.15 * step))
        brush.fill(image, brush.oval((x - 0.04 * step * radius, y), axes, turn), brush.shade(skin, 0.85 + 0.08 * step))


def _back(image: np.ndarray, center: tuple, radius: float, skin: brush.Color, hair: brush.Color, rng: np.random.Generator) -> None:
    """Someone seen from behind: neck, ears and hair."""
    x, y = center
    neck = np.array([(-0.4, 0.0), (0.4, 0.0), (0.5, 1.8), (-0.5, 1.8)])
    brush.fill(image, neck * radius + center, brush.shade(skin, 0.85))
    for side in (-0.95, 0.95):
        brush.fill(image, brush.oval((x + side * radius, y), (0.15 * radius, 0.28 * radius)), skin)
    brush.fill(image, brush.oval((x, y - 0.25 * radius), (radius, 1.2 * radius)), hair)
    for lean in rng.uniform(-0.8, 0.8, 6):
        lock = np.array([(x + 0.3 * lean * radius, y - 1.3 * radius), (x + lean * radius, y + 0.3 * radius)])
        cv2.polylines(image, [brush.fixed(lock)], False, brush.shade(hair, 1.2), max(1, int(radius * 0.05)), cv2.LINE_AA, brush.SHIFT)


DISTRACTORS = (_ball, _hand, _blank, _back)
