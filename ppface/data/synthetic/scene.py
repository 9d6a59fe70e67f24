"""A whole picture: cluttered background, people of all sizes, and their annotations."""

import math
from dataclasses import dataclass

import numpy as np

from ppface.data.synthetic import background, camera
from ppface.data.synthetic.head import Head, draw_head
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.occluder import Occluder
from ppface.data.synthetic.person import Person
from ppface.data.synthetic.variation import Expression, Light, Pose

FACE = 1.6  # half head heights from forehead to chin
PEOPLE = 100_000  # identities per seed
TRIES = 8  # positions tried before a face is dropped
# types and shapes of the annotations of a face, in the order of Scene
SHAPES = (("float32", (4,)), ("float32", (5, 2)), ("float32", (6, 2)), ("bool", (5,)), ("float32", ()), ("int64", ()), ("float32", (3,)))
MAX_HIDDEN = 0.75  # share; faces that are hidden more are not annotated


@dataclass(frozen=True)
class Scene:
    """A drawn picture with G annotated faces. Coordinates are pixels, (0, 0) the outer corner of the first.

    Args:
        image: (height, width, 3) uint8 RGB.
        boxes: (G, 4) float32 x1, y1, x2, y2, within the picture.
        landmarks: (G, 5, 2) float32, as `Head.landmarks`.
        points: (G, 6, 2) float32, as `Head.points`.
        visible: (G, 5) bool, whether the head is visible at the landmark, not an occluder or another person.
        hidden: (G,) float32, share of the face that is occluded or outside the picture.
        identity: (G,) int64, numbers for `Identity.draw` with the scene's seed.
        pose: (G, 3) float32, yaw, pitch, roll in degrees.
    """

    image: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    hidden: np.ndarray
    identity: np.ndarray
    pose: np.ndarray


def draw_scene(
    seed: int,
    index: int,
    size: tuple[int, int] = (256, 256),
    faces: tuple[int, int] = (0, 6),
    face_size: tuple[float, float] = (0.1, 0.6),
    difficulty: float = 0.5,
    occluders: float | None = None,
    occlusion: np.ndarray | None = None,
) -> Scene:
    """Picture `index` of `seed`; depends only on its arguments.

    Args:
        seed: of a set of pictures; sets with other seeds share no picture and no person.
        index: of the picture.
        size: height and width in pixels.
        faces: minimum and maximum number of faces; faces without room are dropped.
        face_size: smallest and largest height of an upright face, forehead to chin, as a share of the picture's short side.
        difficulty: 0..1, scales poses, light, occlusion, distractors, blur and noise.
        occluders: share of the faces with an object in front of them, 0..1; None: 0.3 * difficulty.
        occlusion: `size` zeros of uint8, which become 1 where an occluder is visible.
    """
    rng = np.random.default_rng((seed, index, 0))
    image = background.backdrop(size, rng)
    share_occluded = 0.3 * difficulty if occluders is None else occluders
    background.distract(image, rng.binomial(6, 0.6 * difficulty), face_size, rng)
    light = Light.draw(rng, difficulty)
    smallest, largest = np.log(face_size).tolist()
    shares = np.exp(rng.uniform(smallest, largest, rng.integers(faces[0], faces[1] + 1)))
    placed: list[tuple[Person, int, Pose]] = []
    for share in sorted(shares.tolist(), reverse=True):
        number, pose = int(rng.integers(PEOPLE)), Pose.draw(rng, 0.5 + difficulty)
        occluder = Occluder.draw(rng) if rng.random() < share_occluded else None
        identity, scale = Identity.draw(seed, number), share * min(size) / FACE
        head = draw_head(identity, pose, light, Expression.draw(rng), scale, occluder)
        corner = _place(head, size, [other for other, _, _ in placed], rng)
        if corner is not None:
            shirt = tuple(background.muted(rng).tolist())
            placed.append((Person(head, corner, scale, identity.skin, shirt), number, pose))
    placed.reverse()  # the small ones are far away
    owner = np.zeros(size, np.uint8)
    for order, (person, _, _) in enumerate(placed, start=1):
        person.paint(image, owner, order, occlusion)
    return _annotate(camera.expose(image, rng, difficulty), owner, placed)


def _place(head: Head, size: tuple[int, int], others: list[Person], rng: np.random.Generator) -> tuple[int, int] | None:
    """A position of the drawing with the face in the picture and mostly not behind larger people, or None if there is no room."""
    x1, y1, x2, y2 = head.box.tolist()
    left, top = math.ceil(-x1), math.ceil(-y1)
    wide, high = max(size[1] - math.ceil(x2) - left, 0), max(size[0] - math.ceil(y2) - top, 0)
    for along, down in rng.random((TRIES, 2)).tolist():
        x, y = left + int(along * (wide + 1)), top + int(down * (high + 1))
        if all(_covered((x1 + x, y1 + y, x2 + x, y2 + y), other) < 0.2 for other in others):
            return x, y
    return None


def _covered(box: tuple, other: Person) -> float:
    """The share of a box behind another person's head and shoulders, approximated by two rectangles."""
    x1, y1, x2, y2 = other.box.tolist()
    hair, shoulder = 0.4 * other.scale, 0.7 * other.scale
    return max(_overlap(box, (x1, y1 - hair, x2, y2)), _overlap(box, (x1 - shoulder, y2, x2 + shoulder, math.inf)))


def _overlap(box: tuple, other: tuple) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(width, 0.0) * max(height, 0.0) / ((box[2] - box[0]) * (box[3] - box[1]))


def _annotate(image: np.ndarray, owner: np.ndarray, placed: list[tuple[Person, int, Pose]]) -> Scene:
    """The annotations of all people that are visible, in the order they were painted."""
    height, width = owner.shape
    seen = np.bincount(owner.ravel(), minlength=2 * len(placed) + 2)[3::2]
    rows = []
    for order, (person, number, pose) in enumerate(placed, start=1):
        hidden = 1 - seen[order - 1] / max(1, np.count_nonzero(person.head.face > 127))
        if hidden > MAX_HIDDEN:
            continue
        box = person.box.clip(0, (width, height, width, height))
        landmarks, points = person.move(person.head.landmarks), person.move(person.head.points)
        x, y = landmarks.astype(int).clip(0, (width - 1, height - 1)).T
        rows.append((box, landmarks, points, owner[y, x] // 2 == order, hidden, number, (pose.yaw, pose.pitch, pose.roll)))
    columns = list(zip(*rows, strict=True)) or [()] * len(SHAPES)
    arrays = [np.array(column, dtype).reshape(len(rows), *shape) for column, (dtype, shape) in zip(columns, SHAPES, strict=True)]
    return Scene(image, *arrays)
