"""Contact sheets for visual checks: people, poses, or scenes with their annotations."""

import cv2
import numpy as np

from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.portrait import Portrait, draw_portrait
from ppface.data.synthetic.scene import Scene, draw_scene
from ppface.data.synthetic.variation import Expression, Light, Pose

YAWS, PITCHES = (-70, -45, -20, 0, 20, 45, 70), (0, 0, 18, -18)
BOX, SEEN, UNSEEN = (40, 230, 60), (255, 40, 40), (60, 90, 255)


def people(rows: int = 4, columns: int = 8, size: int = 160, seed: int = 0) -> np.ndarray:
    """Different people, all seen from the front: (rows * size, columns * size, 3) uint8 RGB."""
    numbers = np.arange(rows * columns).reshape(rows, columns)
    return _grid([[_portrait(seed, number, Pose(), size).image for number in row] for row in numbers.tolist()])


def poses(rows: int = 4, size: int = 160, seed: int = 0) -> np.ndarray:
    """One person a row, turned from left to right, with box and landmarks."""
    views = [[Pose(yaw=yaw, pitch=PITCHES[row % len(PITCHES)]) for yaw in YAWS] for row in range(rows)]
    return _grid([[_marked(_portrait(seed, person, pose, size)) for pose in row] for person, row in enumerate(views)])


def scenes(rows: int = 3, columns: int = 5, size: int = 256, seed: int = 0, difficulty: float = 0.5) -> np.ndarray:
    """Whole pictures with boxes and landmarks; occluded landmarks are blue."""
    numbers = np.arange(rows * columns).reshape(rows, columns).tolist()
    return _grid([[annotated(draw_scene(seed, index, (size, size), difficulty=difficulty)) for index in row] for row in numbers])


def annotated(scene: Scene) -> np.ndarray:
    """A copy of the scene's picture with boxes and landmarks drawn in."""
    image = scene.image.copy()
    for box, landmarks, visible in zip(scene.boxes, scene.landmarks, scene.visible, strict=True):
        _mark(image, box, landmarks, visible)
    return image


def _portrait(seed: int, number: int, pose: Pose, size: int) -> Portrait:
    rng = np.random.default_rng((seed, number))
    return draw_portrait(Identity.draw(seed, number), pose, Light(), Expression(smile=0.3), size, rng)


def _marked(portrait: Portrait) -> np.ndarray:
    _mark(portrait.image, portrait.box, portrait.landmarks, np.ones(5, bool))
    return portrait.image


def _mark(image: np.ndarray, box: np.ndarray, landmarks: np.ndarray, visible: np.ndarray) -> None:
    x1, y1, x2, y2 = np.rint(box).astype(int).tolist()
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), BOX, 1)
    for (x, y), seen in zip(landmarks.astype(int).tolist(), visible, strict=True):
        cv2.circle(image, (x, y), max(1, (x2 - x1) // 40), SEEN if seen else UNSEEN, -1)


def _grid(tiles: list[list[np.ndarray]]) -> np.ndarray:
    return np.concatenate([np.concatenate(row, axis=1) for row in tiles])
