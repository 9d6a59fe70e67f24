"""Whole pictures: reproducible, and annotated as they are drawn."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppface.data.synthetic import contact_sheet
from ppface.data.synthetic.camera import expose
from ppface.data.synthetic.scene import draw_scene

ROOT = Path(__file__).resolve().parents[3]


def digest(seed: int, index: int) -> str:
    scene = draw_scene(seed, index, (96, 128), faces=(3, 3))
    return hashlib.sha256(b"".join(value.tobytes() for value in vars(scene).values())).hexdigest()


def test_a_scene_is_a_function_of_seed_and_index():
    assert digest(0, 5) == digest(0, 5)
    assert len({digest(0, 5), digest(0, 6), digest(1, 5)}) == 3


def test_another_process_draws_the_same_bytes():
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]; import test_scene; print(test_scene.digest(7, 11))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == digest(7, 11)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_boxes_and_landmarks_lie_in_the_picture(difficulty):
    for index in range(15):
        scene = draw_scene(0, index, (120, 160), faces=(1, 5), difficulty=difficulty)
        assert scene.image.shape == (120, 160, 3) and scene.image.dtype == np.uint8
        assert np.all(scene.boxes[:, :2] >= 0) and np.all(scene.boxes[:, 2:] <= (160, 120))
        assert np.all(scene.boxes[:, 2:] - scene.boxes[:, :2] > 4)
        assert np.all((scene.landmarks >= 0) & (scene.landmarks <= (160, 120)))
        assert np.all((scene.hidden >= 0) & (scene.hidden <= 0.75))


def test_sizes_follow_the_request():
    for index in range(10):
        scene = draw_scene(0, index, (200, 200), faces=(1, 1), face_size=(0.3, 0.3), difficulty=0.0)
        height = scene.boxes[0, 3] - scene.boxes[0, 1]
        assert height == pytest.approx(60, rel=0.2)  # the head is turned a little


def test_as_many_faces_as_asked_for_where_there_is_room():
    scenes = [draw_scene(0, index, (256, 256), faces=(2, 4), face_size=(0.05, 0.1)) for index in range(20)]
    counts = [len(scene.boxes) for scene in scenes]
    assert max(counts) == 4 and np.mean(counts) > 2.4
    assert all(len(scene.pose) == len(scene.identity) == len(scene.visible) == count for scene, count in zip(scenes, counts, strict=True))


def test_no_face_is_a_picture_too():
    scene = draw_scene(0, 0, (64, 64), faces=(0, 0))
    assert scene.boxes.shape == (0, 4) and scene.landmarks.shape == (0, 5, 2) and scene.points.shape == (0, 6, 2)
    assert scene.visible.shape == (0, 5) and scene.image.std() > 1


def test_crowds_hide_some_landmarks_and_empty_places_none():
    crowd = [draw_scene(0, index, (128, 128), faces=(6, 6), face_size=(0.2, 0.5)) for index in range(15)]
    alone = [draw_scene(0, index, (128, 128), faces=(1, 1), difficulty=0.0) for index in range(15)]
    assert any(not scene.visible.all() for scene in crowd)
    assert all(scene.visible.all() and scene.hidden.max() < 0.05 for scene in alone)


def test_difficulty_brings_noise(rng):
    image = np.full((64, 64, 3), 128, np.uint8)
    noise = [np.mean([expose(image, rng, difficulty).std(axis=(0, 1)).mean() for _ in range(20)]) for difficulty in (0.0, 0.5, 1.0)]
    assert noise[0] == 0 and noise[1] < noise[2]


def test_contact_sheets_are_pictures():
    assert contact_sheet.people(1, 2, 64).shape == (64, 128, 3)
    assert contact_sheet.poses(1, 64).shape == (64, 7 * 64, 3)
    plain, marked = draw_scene(0, 1, (128, 128), faces=(2, 2)), contact_sheet.scenes(1, 1, 128)
    assert marked.shape == plain.image.shape
    assert np.any(contact_sheet.annotated(plain) != plain.image)
