"""Whole pictures: reproducible, and annotated as they are drawn."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppface.data.synthetic import contact_sheet
from ppface.data.synthetic.camera import expose
from ppface.data.synthetic.head import draw_head
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.occluder import Occluder
from ppface.data.synthetic.person import Person
from ppface.data.synthetic.scene import draw_scene
from ppface.data.synthetic.variation import Expression, Light, Pose

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


def test_the_mask_of_occluders_changes_nothing_else():
    found = 0
    for index in range(12):
        mask = np.zeros((96, 128), np.uint8)
        plain = draw_scene(2, index, (96, 128), faces=(1, 4), difficulty=1.0)
        marked = draw_scene(2, index, (96, 128), faces=(1, 4), difficulty=1.0, occlusion=mask)
        assert all(one.tobytes() == other.tobytes() for one, other in zip(vars(plain).values(), vars(marked).values(), strict=True))
        assert set(np.unique(mask)) <= {0, 1}
        found += mask.any()
    assert 2 <= found < 12


def test_occluders_are_as_frequent_as_asked_for_and_the_mask_is_where_they_are():
    for share in (0.0, 1.0):
        for index in range(12):
            mask = np.zeros((128, 128), np.uint8)
            scene = draw_scene(0, index, (128, 128), faces=(1, 1), face_size=(0.5, 0.5), occluders=share, occlusion=mask)
            hidden = float(scene.hidden.max(initial=0.0))
            x1, y1, x2, y2 = np.concatenate([scene.boxes, np.zeros((1, 4))])[0].astype(int)
            inside = mask[y1:y2, x1:x2].mean() if len(scene.boxes) else 0.0
            assert mask.any() == bool(share)
            assert hidden < 0.03 if share == 0 else abs(hidden - inside) < 0.25  # a share of the face, and of its box


def test_a_person_in_front_covers_the_occluder_of_the_one_behind():
    def person(occluder):
        head = draw_head(Identity.draw(0, 3), Pose(), Light(), Expression(), 30.0, occluder)
        return Person(head, (20, 10), 30.0, (200, 160, 140), (30, 60, 90))

    behind, front = person(Occluder("bar", (150, 40, 48), (0.0, 0.2), 0.3)), person(None)
    image, owner, mask = np.zeros((140, 140, 3), np.uint8), np.zeros((140, 140), np.uint8), np.zeros((140, 140), np.uint8)
    behind.paint(image, owner, 1, mask)
    here, there = behind.shared(image.shape)
    assert np.array_equal(mask[here] == 1, behind.head.occlusion[there] > 127) and mask.sum() > 100
    front.paint(image, owner, 2, mask)
    assert not mask[here][front.head.cover[there] > 127].any() and mask.any()


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
