"""Landmark errors of a detector: which face each prediction belongs to, and the values by plain loops."""

import json

import cv2
import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data import SyntheticFaces
from ppface.evaluators import LandmarkNME
from ppface.ops.resize import TestSize

PLACES = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.8], [0.65, 0.8]])  # of five landmarks in a box


def points_of(boxes, move=0.0):
    """Five landmarks of boxes (G, 4), moved right by a share of the box's width."""
    boxes = np.asarray(boxes, "float64").reshape(-1, 4)
    corner, sides = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    return corner + (PLACES + [move, 0]) * sides


class Faces:
    """Painted pictures with faces, some of them without landmarks, and ignored ones."""

    def __init__(self, paint, rows):
        self.paint, self.rows = paint, rows

    def __len__(self):
        return len(self.rows)

    def name(self, i):
        return f"painted {i}"

    def __getitem__(self, i):
        boxes, known, ignored = self.rows[i]
        drawn = [[*box, 250 - 20 * k] for k, box in enumerate([*boxes, *ignored])]
        return {
            "picture": self.paint((96, 128), drawn),
            "gt_boxes": np.array(boxes, "float32").reshape(-1, 4),
            "gt_landmarks": points_of(boxes).astype("float32"),
            "gt_has_landmarks": np.array(known, bool),
            "_ignored_boxes": np.array(ignored, "float32").reshape(-1, 4),
        }


@pytest.fixture
def faces(paint):
    return Faces(
        paint,
        [
            ([[8, 8, 40, 48], [64, 8, 104, 40]], [True, True], []),
            ([[8, 8, 24, 28], [48, 16, 88, 80]], [False, True], []),
            ([], [], [[8, 8, 40, 40]]),
            ([[16, 16, 48, 48]], [True], []),
        ],
    )


class Finder:
    """Finds the bright parts, with landmarks that are moved right by a share of the box, the brighter the more."""

    test_size = TestSize()

    def __init__(self, parts, share=0.2, count=5):
        self.parts, self.share, self.count = parts, share, count

    def __call__(self, batch):
        found = self.parts(batch)
        move = self.share * (found["scores"] - 0.8)
        points = np.array([points_of(box, by)[0] for box, by in zip(found["boxes"], move, strict=True)]).reshape(-1, 5, 2)
        return {**found, "landmarks": points[:, : self.count].astype("float32")}


def test_the_values_are_those_of_plain_loops(faces, detector, tmp_path):
    expected = []
    for boxes, known, _ in faces.rows:
        for i, (box, has) in enumerate(zip(boxes, known, strict=True)):
            if has:
                width, height = box[2] - box[0], box[3] - box[1]
                moved = abs(0.2 * ((250 - 20 * i) / 255 - 0.8)) * width
                expected.append(moved / np.sqrt(width * height))
    evaluator = LandmarkNME(faces, threshold=0.03, save_dir=str(tmp_path / "out"))
    values = dict(evaluator(Finder(detector)))
    assert evaluator.values() == list(values)
    assert values["nme"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert values["failures"] == pytest.approx(np.mean([error > 0.03 for error in expected]))
    assert values["auc"] == pytest.approx(np.mean([max(0, 1 - error / 0.03) for error in expected]), rel=1e-4)
    assert values["matched"] == 1
    written = json.loads((tmp_path / "out" / "landmark_nme.json").read_text())
    assert {name: len(errors) for name, errors in written.items()} == {"painted 0": 2, "painted 1": 1, "painted 2": 0, "painted 3": 1}
    assert cv2.imread(str(tmp_path / "out" / "landmark_nme.png")).shape == (600, 720, 3)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("size", [TestSize("letterbox", (256, 256)), TestSize("stretch", (192, 384))])
def test_landmarks_come_back_in_pixels_of_the_picture(faces, detector, size, batch_size):
    """The labels are in pixels of the picture, the predictions in those of the test size: an edge is off by less than a pixel."""
    values = dict(LandmarkNME(faces, size=size, batch_size=batch_size)(Finder(lambda batch: above_grey(detector, batch), share=0)))
    assert values["matched"] == 1 and values["nme"] < 0.03


def above_grey(detector, batch):
    """The detector without the grey of a letterbox, which is brighter than its threshold."""
    return detector({"image": np.where(batch["image"] > 150, batch["image"], 0)})


def test_errors_divided_by_the_distance_of_the_eyes(faces, detector):
    values = dict(LandmarkNME(faces, "inter_ocular")(Finder(detector)))
    shares = [0.2 * (value / 255 - 0.8) / 0.4 for value in (250, 230, 230, 250)]  # the eyes are 0.4 of the width apart
    assert values["nme"] == pytest.approx(np.mean(np.abs(shares)), rel=1e-4)


def test_the_best_of_several_predictions_on_a_face_counts_and_missed_faces_have_no_error(paint):
    data = Faces(paint, [([[8, 8, 40, 40], [60, 8, 100, 48]], [True, True], [])])

    def predict(batch):
        boxes = np.array([[8, 8, 40, 40], [9, 9, 41, 41], [110, 60, 120, 70]], "float32")
        points = np.stack([points_of(boxes[0], 0.5)[0], points_of(boxes[0])[0] + [3, 4], points_of(boxes[2])[0]])
        return {"boxes": boxes, "scores": np.array([0.5, 0.9, 0.95]), "count": np.array([3]), "landmarks": points}

    values = dict(LandmarkNME(data)(predict))
    assert values["nme"] == pytest.approx(5 / 32) and values["matched"] == 0.5 and values["failures"] == 1


def test_faces_that_are_small_ignored_or_unlabelled_are_left_out(faces, detector):
    assert dict(LandmarkNME(faces, min_size=50)(Finder(detector)))["nme"] == pytest.approx(
        0.2 * (230 / 255 - 0.8) * 40 / np.sqrt(40 * 64), rel=1e-4
    )
    with pytest.raises(DataError) as error:
        list(LandmarkNME(faces, min_size=500)(Finder(detector)))
    assert str(error.value) == (
        "Faces: none of the 5 faces in 4 pictures counts; expected at least one with labelled landmarks and of height 500 or more"
    )


def test_a_detector_that_finds_nothing_is_infinitely_wrong(faces):
    def nothing(batch):
        return {"boxes": np.zeros((0, 4)), "scores": np.zeros(0), "count": np.zeros(1, int), "landmarks": np.zeros((0, 5, 2))}

    assert dict(LandmarkNME(faces)(nothing)) == {"nme": np.inf, "failures": 1.0, "auc": 0.0, "matched": 0.0}


def test_what_does_not_fit_is_named_before_training(faces, detector):
    LandmarkNME(faces).check(Finder(detector))
    with pytest.raises(DataError) as error:
        LandmarkNME(faces).check(detector)
    assert str(error.value) == "expected a model with the output 'landmarks', received one with boxes, count, scores"
    with pytest.raises(DataError) as error:
        list(LandmarkNME(faces)(detector))
    message = "expected a model with the output 'landmarks', as detectors with landmarks have, received one with boxes, count, scores"
    assert str(error.value) == message
    with pytest.raises(DataError) as error:
        LandmarkNME(faces).check(Finder(detector, count=3))
    assert str(error.value) == "painted 0: expected 3 landmarks, as the model has, received 5; so have 2 more pictures"
    with pytest.raises(DataError, match=r"^painted 0: expected 3 landmarks, as the model has, received 5$"):
        list(LandmarkNME(faces)(Finder(detector, count=3)))
    faces.rows[3] = ([[16, 16, 16, 48]], [True], [])  # no width: the eyes are at the same place
    with pytest.raises(DataError) as error:
        LandmarkNME(faces, "inter_ocular").check(Finder(detector))
    assert str(error.value) == "painted 3: expected eyes at two places for normalise: inter_ocular, received a distance of 0 pixels"


def test_landmarks_that_are_no_numbers_are_reported_with_the_picture(faces, detector):
    def broken(batch):
        found = Finder(detector)(batch)
        return {**found, "landmarks": found["landmarks"] * np.nan}

    with pytest.raises(DataError) as error:
        list(LandmarkNME(faces)(broken))
    assert str(error.value) == "painted 0: expected landmarks of finite numbers from the model, received nan"


def test_synthetic_pictures_are_drawn_once_before_training(detector, monkeypatch):
    drawn, plain = [], SyntheticFaces.scene
    monkeypatch.setattr(SyntheticFaces, "scene", lambda self, i, *occlusion: drawn.append(i) or plain(self, i, *occlusion))
    LandmarkNME(SyntheticFaces(4)).check(Finder(detector))
    assert drawn == [0]


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"threshold": 0.0}, {"min_size": -1.0}])
def test_wrong_arguments(faces, arguments):
    given = {"batch_size": 1, "threshold": 0.1, "min_size": 0.0} | arguments
    with pytest.raises(ValueError) as error:
        LandmarkNME(faces, **arguments)
    assert str(error.value) == (
        "LandmarkNME: expected batch_size of at least 1, threshold above 0 and min_size of at least 0, "
        f"received {given['batch_size']}, {given['threshold']} and {given['min_size']}"
    )
