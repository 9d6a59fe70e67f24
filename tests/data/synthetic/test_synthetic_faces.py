"""The drawn detection set: what a sample holds, and what a wrong argument says."""

import pickle

import numpy as np
import pytest

from ppface.data.batch import KEYS, collate
from ppface.data.loading.pipeline import Pipeline
from ppface.data.synthetic.synthetic_faces import SyntheticFaces
from ppface.data.transforms import Flip


def test_a_sample_holds_picture_boxes_and_landmarks():
    faces = SyntheticFaces(length=4, size=(96, 128), faces=(2, 4))
    assert len(faces) == 4
    sample = faces[2]
    count = len(sample["gt_boxes"])
    assert sample["picture"].size == (96, 128) and sample["picture"].name == faces.name(2) == "synthetic-0-2"
    assert sample["picture"].decode().shape == (96, 128, 3)
    assert sample["gt_landmarks"].shape == (count, 5, 2) and sample["gt_has_landmarks"].shape == (count,)
    assert sample["_pose"].shape == (count, 3) and sample["_identity"].shape == sample["_occlusion"].shape == (count,)
    assert all(key in KEYS or key.startswith("_") or key == "picture" for key in sample)
    assert all(sample[key].dtype == KEYS[key].dtype for key in sample if key in KEYS)


def test_the_mask_of_occluders_is_a_choice():
    plain, masked = (
        SyntheticFaces(4, (64, 96), faces=(1, 2), occluders=1.0, occlusion=occlusion, keep=True) for occlusion in (False, True)
    )
    assert "gt_occlusion" not in plain[0] and masked[0].keys() == plain[0].keys() | {"gt_occlusion"}
    np.testing.assert_array_equal(masked[1]["picture"].decode(), plain[1]["picture"].decode())
    batch = collate([Pipeline([Flip(1.0)])(masked[i], np.random.default_rng(i)) for i in range(4)])
    assert batch["gt_occlusion"].shape == (4, 64, 96) and batch["gt_occlusion"].dtype == np.uint8
    np.testing.assert_array_equal(batch["gt_occlusion"][2], masked[2]["gt_occlusion"][:, ::-1])
    assert batch["gt_occlusion"].any(axis=(1, 2)).sum() >= 3


def test_landmarks_are_a_choice():
    none, five, six = (SyntheticFaces(3, landmarks=landmarks, faces=(1, 1))[0] for landmarks in (0, 5, 6))
    assert "gt_landmarks" not in none and "gt_has_landmarks" not in none
    np.testing.assert_array_equal(five["gt_landmarks"][:, :3], six["gt_landmarks"][:, :3])
    assert six["gt_landmarks"].shape == (1, 6, 2)
    np.testing.assert_array_equal(none["gt_boxes"], six["gt_boxes"])


def test_hidden_landmarks_are_not_labelled():
    faces = SyntheticFaces(40, size=(96, 96), faces=(6, 6), face_size=(0.2, 0.5), difficulty=1.0)
    scenes = [(faces.scene(i).visible.mean(axis=1), faces[i]["gt_has_landmarks"]) for i in range(len(faces))]
    seen, labelled = (np.concatenate(column) for column in zip(*scenes, strict=True))
    np.testing.assert_array_equal(labelled, seen >= 0.5)
    assert 0.02 < np.mean(~labelled) < 0.5


def test_pictures_that_are_kept_are_drawn_once_and_equal_the_others(monkeypatch):
    drawn = []
    once, again = (SyntheticFaces(3, (64, 64), keep=keep) for keep in (True, False))
    draw = SyntheticFaces.scene
    monkeypatch.setattr(SyntheticFaces, "scene", lambda self, i, *rest: drawn.append(i) or draw(self, i, *rest))
    for _ in range(2):
        for i in (0, 2):
            kept, other = once[i], again[i]
            np.testing.assert_array_equal(kept["picture"].decode(), other["picture"].decode())
            np.testing.assert_array_equal(kept["gt_boxes"], other["gt_boxes"])
            assert not kept["picture"].decode().flags.writeable
            kept["gt_boxes"] = None  # of the caller's own mapping
    assert sorted(drawn) == [0, 0, 0, 2, 2, 2]


def test_it_survives_pickling():
    faces = SyntheticFaces(2, size=(64, 64))
    copy = pickle.loads(pickle.dumps(faces))
    np.testing.assert_array_equal(copy[1]["picture"].decode(), faces[1]["picture"].decode())


def test_it_ends():
    with pytest.raises(IndexError, match="picture 3 of 3"):
        SyntheticFaces(3)[3]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"length": 0}, "SyntheticFaces: expected length of at least 1, received length=0"),
        ({"size": (16, 64)}, "SyntheticFaces: expected height and width of at least 32, received size=(16, 64)"),
        ({"seed": -1}, "SyntheticFaces: expected a seed of at least 0, received seed=-1"),
        ({"faces": (4, 2)}, "SyntheticFaces: expected faces as fewest, most with 0 <= fewest <= most <= 100, received faces=(4, 2)"),
        (
            {"face_size": (0.6, 0.1)},
            "SyntheticFaces: expected face_size as smallest, largest with 0 < smallest <= largest <= 0.9, received face_size=(0.6, 0.1)",
        ),
        ({"landmarks": 4}, "SyntheticFaces: expected landmarks 0, 5 or 6, received landmarks=4"),
        ({"difficulty": 1.5}, "SyntheticFaces: expected difficulty in 0..1, received difficulty=1.5"),
        ({"occluders": 1.1}, "SyntheticFaces: expected occluders in 0..1 or none, received occluders=1.1"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(argument, message):
    with pytest.raises(ValueError) as error:
        SyntheticFaces(**{"length": 1, **argument})
    assert str(error.value) == message
