"""Draws one head on an empty background, with masks and annotations."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ppface.data.synthetic import brush, features, hair
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.occluder import Occluder
from ppface.data.synthetic.points68 import points68
from ppface.data.synthetic.sketch import SOFT, Sketch, View
from ppface.data.synthetic.surface import Surface
from ppface.data.synthetic.variation import Expression, Light, Pose

REACH = 1.5  # half the side of the drawing, in half head heights
EAR = np.array([(0.035 + 0.035 * math.cos(t), math.sin(t), -0.12 - 0.10 * math.cos(t)) for t in np.linspace(0, 2 * math.pi, 16)])
MIN_LINE = 0.3  # pixels; thinner lines are invisible
MIN_SCALE = 28.0  # pixels of half a head height; smaller heads are drawn larger and downsampled


@dataclass(frozen=True)
class Head:
    """A drawn head. Coordinates are pixels of `image`, (0, 0) the outer corner of the first pixel.

    Args:
        image: (n, n, 3) uint8 RGB, already multiplied by `cover`.
        cover: (n, n) uint8, coverage of each pixel by the head with hair, ears and occluder, 0..255.
        face: (n, n) uint8, coverage of each pixel by the face, occluded or not, 0..255.
        occlusion: (n, n) uint8, coverage of each pixel by an occluder, 0..255.
        box: (4,) x1, y1, x2, y2 from forehead to chin, from cheek to cheek.
        landmarks: (5, 2) left eye, right eye, nose tip, left and right corner of the mouth, left as seen in the picture.
        points: (6, 2) BlazeFace's: right eye, left eye, nose tip, mouth, right and left ear; the person's right, left in the picture.
        points68: (68, 2) those of `points68.py`.
    """

    image: np.ndarray
    cover: np.ndarray
    face: np.ndarray
    occlusion: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    points68: np.ndarray


def draw_head(
    identity: Identity,
    pose: Pose,
    light: Light,
    expression: Expression,
    scale: float,
    occluder: Occluder | None = None,
) -> Head:
    """Draws one head, its origin (between the eyes) in the middle of a square picture; depends only on its arguments.

    Args:
        identity: the person.
        pose: direction of the head.
        light: direction of the light.
        expression: facial expression.
        scale: pixels of half a head height (crown to chin is 2 of them), > 0.
        occluder: an object in front of the face.
    """
    assert scale > 0, scale
    fine = max(1, math.ceil(MIN_SCALE / scale))
    side = 2 * math.ceil(REACH * scale)
    surface, turn = Surface(identity), pose.matrix()
    view = View(turn, scale * fine, side * fine / 2 - 0.5)
    square = (side * fine, side * fine)
    image: np.ndarray = np.zeros((*square, 3), np.uint8)
    cover: np.ndarray = np.zeros(square, np.uint8)
    face: np.ndarray = np.zeros(square, np.uint8)
    occlusion: np.ndarray = np.zeros(square, np.uint8)
    _paint_volume(image, cover, face, identity, surface, view)
    sketch = Sketch(finest=MIN_LINE / scale)
    features.draw(sketch, identity, expression)
    hair.over_forehead(sketch, identity)
    soft = sketch.paint(image, cover, surface, view)
    cv2.min(image, cv2.merge([cover] * 3), image)  # nothing is painted outside of the head
    image = cv2.multiply(image, _shading(cover, soft, light), dtype=cv2.CV_8U)
    if occluder is not None:
        occluder.paint(image, occlusion, surface, view)
        cv2.max(cover, occlusion, cover)
    if fine > 1:
        drawn = (image, cover, face, occlusion)
        image, cover, face, occlusion = (cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA) for layer in drawn)
    final = View(turn, scale, side / 2)
    dense = final(points68(identity, expression, surface)).astype(np.float32)
    return Head(image, cover, face, occlusion, *annotations(identity, expression, surface, final), dense)


def annotations(identity: Identity, expression: Expression, surface: Surface, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Box (4,), five landmarks (5, 2) and BlazeFace's six points (6, 2), float32 pixels."""
    corners = features.mouth_corners(identity, expression)
    flat = [(*features.eye_center(identity, -1), 0), (*features.eye_center(identity, 1), 0), features.nose_tip(identity)]
    flat += [(x, y, 0.02) for x, y in corners]
    ears = np.array([(-1, 0.1, 0.0), (1, 0.1, 0.0)]) * (surface.width[6], 1, 1)
    solid = np.concatenate([surface.lift(np.array(flat)), ears])
    points = view(solid).astype(np.float32)
    landmarks = points[:5]
    edge = np.concatenate([view(surface.face()), landmarks])
    box = np.concatenate([edge.min(axis=0), edge.max(axis=0)]).astype(np.float32)
    six = np.stack([points[0], points[1], points[2], (points[3] + points[4]) / 2, points[5], points[6]])
    return box, landmarks, six


def _paint_volume(image: np.ndarray, cover: np.ndarray, face: np.ndarray, identity: Identity, surface: Surface, view: View) -> None:
    """Hair, ears and bare skin, back to front."""
    shapes, *locks = hair.volume(identity, surface, view)
    for shape in shapes:
        brush.fill(image, shape, identity.hair)
        brush.fill(cover, shape, 255)
    for lines, factor in zip(locks, (0.84, 1.16), strict=True):
        color, thickness = brush.shade(identity.hair, factor), max(1, round(0.025 * view.scale))
        cv2.polylines(image, [brush.fixed(lock) for lock in lines], False, color, thickness, cv2.LINE_AA, brush.SHIFT)
    if identity.style not in hair.COVERS_EARS:
        for side in features.SIDES:
            _paint_ear(image, cover, identity, surface, view, side)
    below_hairline = brush.hull(view(surface.skin))
    skin = below_hairline if shapes else brush.hull(view(surface.bald()))
    brush.fill(image, skin, identity.skin)
    brush.fill(cover, skin, 255)
    brush.fill(face, below_hairline, 255)


def _paint_ear(image: np.ndarray, cover: np.ndarray, identity: Identity, surface: Surface, view: View, side: float) -> None:
    if view.matrix[2, 0] * side < -0.2:  # on the far side
        return
    solid = EAR * (side, identity.ear, 1) + (side * (surface.width[6] + 0.02), 0.06, 0)
    outer = view(solid)
    brush.fill(image, outer, identity.skin)
    brush.fill(cover, outer, 255)
    brush.fill(image, (outer - outer.mean(axis=0)) * 0.6 + outer.mean(axis=0), brush.shade(identity.skin, 0.78))


def _shading(cover: np.ndarray, soft: np.ndarray, light: Light) -> np.ndarray:
    """(n, n, 3) float32 factors: shading of a round head in this light, with soft shadows; shadows on skin are reddish."""
    x, y, width, height = cv2.boundingRect(cover)
    across = ((np.arange(SOFT) + 0.5) * len(cover) / SOFT - x) / width * 2 - 1
    down = ((np.arange(SOFT) + 0.5) * len(cover) / SOFT - y) / height * 2 - 1
    u, v = (across * 0.92)[None], (down * 0.75)[:, None]
    toward = u * light.direction[0] + v * light.direction[1] + np.sqrt(np.maximum(1 - u * u - v * v, 0.0)) * light.direction[2]
    tone = light.ambient + (1.12 - light.ambient) * toward.clip(0, 1) + cv2.blur(soft, (3, 3))
    tone = tone.clip(0.15, 1.25).astype(np.float32)
    warm = cv2.merge([tone**0.92, tone, tone**1.06])
    return cv2.resize(warm, cover.shape[::-1], interpolation=cv2.INTER_LINEAR)
