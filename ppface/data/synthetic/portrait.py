"""One person in the middle of a picture, for recognition and landmarks."""

from dataclasses import dataclass

import numpy as np

from ppface.data.synthetic import background
from ppface.data.synthetic.head import draw_head
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.occluder import Occluder
from ppface.data.synthetic.person import Person
from ppface.data.synthetic.variation import Expression, Light, Pose

FILL = 0.34  # half a head height as a share of the picture's side: room for hair above and shoulders below


@dataclass(frozen=True)
class Portrait:
    """One drawn person. Coordinates are pixels of `image`, (0, 0) the outer corner of the first.

    Args:
        image: (size, size, 3) uint8 RGB.
        box: (4,) float32 x1, y1, x2, y2.
        landmarks: (5, 2) float32, as `Head.landmarks`.
        points: (6, 2) float32, as `Head.points`.
        points68: (68, 2) float32, as `Head.points68`.
        occlusion: (size, size) bool, True where an occluder covers the picture.
    """

    image: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    points68: np.ndarray
    occlusion: np.ndarray


def draw_portrait(
    identity: Identity,
    pose: Pose,
    light: Light,
    expression: Expression,
    size: int,
    rng: np.random.Generator,
    occluder: Occluder | None = None,
) -> Portrait:
    """Draws one person, the head centred in the picture, without blur (see `camera.expose`).

    Args:
        identity: the person.
        pose: direction of the head.
        light: direction of the light.
        expression: facial expression.
        size: side of the square picture in pixels, > 0.
        rng: for the background and the shirt; the face does not depend on it.
        occluder: an object in front of the face.
    """
    image = background.backdrop((size, size), rng)
    shirt = tuple(background.muted(rng).tolist())
    head = draw_head(identity, pose, light, expression, FILL * size, occluder)
    corner = (size - len(head.image)) // 2
    person = Person(head, (corner, corner), FILL * size, identity.skin, shirt)
    person.paint(image, np.zeros((size, size), np.uint8), 1)
    occlusion = np.zeros((size, size), bool)
    here, there = person.shared(image.shape)
    occlusion[here] = head.occlusion[there] > 0
    return Portrait(image, person.box, person.move(head.landmarks), person.move(head.points), person.move(head.points68), occlusion)
