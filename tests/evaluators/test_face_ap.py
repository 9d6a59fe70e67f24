"""AP on any data set."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data import Subset, SyntheticFaces, SyntheticIdentities
from ppface.evaluators import FaceAP
from ppface.evaluators.plots import make_folder


class Painted:
    """A data set of painted pictures."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        picture, boxes = self.samples[i]
        return {"picture": picture, "gt_boxes": np.array(boxes, "float32").reshape(-1, 4)}

    def name(self, i):
        return f"painted {i}"


@pytest.fixture
def dataset(paint):
    """Four labelled faces, of which one is not bright enough to be found; one false one; one picture of another size without faces."""
    return Painted(
        [
            (paint((64, 64), [[8, 8, 24, 24, 250], [40, 40, 60, 60, 90]]), [[8, 8, 24, 24]]),
            (paint((64, 64), [[8, 8, 28, 48, 240]]), [[8, 8, 28, 48], [40, 8, 60, 18]]),
            (paint((32, 64), [[0, 0, 10, 10, 200]]), [[0, 0, 10, 10]]),
            (paint((32, 64), []), []),
        ]
    )


@pytest.mark.parametrize("batch_size", [1, 4])
def test_ap_and_recall(dataset, detector, batch_size):
    # in the order of the scores: hit, hit, hit, false; one of four faces is never found
    assert dict(FaceAP(dataset, batch_size=batch_size)(detector)) == {"ap": 0.75, "recall": 0.75}


def test_it_says_which_values_it_yields(dataset, detector):
    assert FaceAP(dataset).values() == [name for name, _ in FaceAP(dataset)(detector)]


def test_small_faces_are_left_out_on_both_sides(dataset, detector):
    # faces of height 10 neither count as missed nor as found: two are left, both found before the false one
    assert dict(FaceAP(dataset, min_size=11)(detector)) == {"ap": 1.0, "recall": 1.0}


def test_a_prediction_on_a_picture_without_faces_is_false(paint, detector):
    dataset = Painted([(paint((32, 32), [[0, 0, 10, 10, 250]]), []), (paint((32, 32), [[0, 0, 10, 10, 200]]), [[0, 0, 10, 10]])])
    assert dict(FaceAP(dataset)(detector)) == {"ap": 0.5, "recall": 1.0}


def test_the_curve_is_written_as_picture_and_numbers(dataset, detector, tmp_path):
    got = dict(FaceAP(dataset, save_dir=str(tmp_path / "new"))(detector))
    curve = json.loads((tmp_path / "new" / "curves.json").read_text())["ap"]
    assert (curve["ap"], curve["faces"], curve["recall"][-1]) == (got["ap"], 4, 0.75)
    assert (curve["threshold"][0], curve["threshold"][-1], len(curve["precision"])) == (0.999, 0.0, 1000)
    drawn = cv2.imread(str(tmp_path / "new" / "ap.png"))
    assert drawn.shape == (600, 720, 3)
    assert drawn.std() > 5


def test_scores_that_are_no_numbers_are_reported_with_the_picture(dataset):
    def broken(batch):
        return {"boxes": np.array([[1.0, 2, 4, 8]]), "scores": np.array([np.nan]), "count": np.array([1])}

    with pytest.raises(DataError) as caught:
        list(FaceAP(dataset)(broken))
    assert str(caught.value) == "painted 0: expected finite numbers x, y, w, h, score, received [1.0, 2.0, 3.0, 6.0, nan] in row 0"


def test_a_set_without_faces_that_count(dataset, detector):
    with pytest.raises(DataError) as caught:
        list(FaceAP(dataset, min_size=50)(detector))
    assert str(caught.value) == "Painted: none of the 4 faces in 4 pictures counts; expected at least one of height 50 or more"


def test_a_set_without_pictures_is_one_line():
    class Empty:
        def __len__(self):
            return 0

    with pytest.raises(DataError, match=r"^Empty: none of the 0 faces in 0 pictures counts; expected at least one of height 0 or more$"):
        list(FaceAP(Empty())(None))


def test_wrong_arguments(dataset):
    with pytest.raises(ValueError) as caught:
        FaceAP(dataset, batch_size=0)
    assert str(caught.value) == "FaceAP: expected batch_size of at least 1 and min_size of at least 0, received 0 and 0.0"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        make_folder(tmp_path / "file" / "below")
    reason = "cannot write here (Not a directory); choose another save_dir"
    assert str(caught.value) == f"{tmp_path / 'file' / 'below'}: {reason}"


def test_all_pictures_are_looked_at_before_training(dataset, detector):
    def broken(i):
        if i in (1, 3):
            raise DataError(f"{i}.jpg: no such picture file")
        return whole(i)

    FaceAP(dataset).check(detector)
    whole = dataset.__getitem__
    dataset.__class__ = type("Broken", (Painted,), {"__getitem__": lambda self, i: broken(i)})
    with pytest.raises(DataError) as caught:
        FaceAP(dataset).check(detector)
    assert str(caught.value) == "1.jpg: no such picture file\n3.jpg: no such picture file"
    with pytest.raises(DataError, match="none of the 4 faces in 4 pictures counts"):
        FaceAP(Painted(dataset.samples), min_size=1000).check(detector)


def test_of_synthetic_pictures_one_is_drawn_before_training(detector, monkeypatch):
    draw, drawn = SyntheticFaces.__getitem__, []
    monkeypatch.setattr(SyntheticFaces, "__getitem__", lambda self, i: drawn.append(i) or draw(self, i))
    FaceAP(SyntheticFaces(4)).check(detector)
    FaceAP(Subset(Subset(SyntheticFaces(4), start=1, every=2), stop=1)).check(detector)
    assert drawn == [0, 1]


def test_a_full_disk_is_one_line(detector, tmp_path, monkeypatch):
    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError) as caught:
        list(FaceAP(SyntheticFaces(1), save_dir=str(tmp_path))(detector))
    assert str(caught.value) == f"{tmp_path}: cannot write here (No space left on device); choose another save_dir"


def test_what_cannot_be_evaluated_is_refused_before_training(detector, tmp_path):
    with pytest.raises(DataError, match=r"synthetic-0-0-0: expected a sample with gt_boxes, .* received label, picture$"):
        FaceAP(SyntheticIdentities(2, 2)).check(detector)
    with pytest.raises(DataError, match="expected a model with the output 'boxes', as detectors have, received one with embedding, norm"):
        FaceAP(SyntheticFaces(1)).check(lambda batch: {"norm": 0, "embedding": 0})
    (tmp_path / "curves").touch()
    with pytest.raises(DataError, match=r"curves: cannot write here \(.*\); choose another save_dir"):
        FaceAP(SyntheticFaces(1), save_dir=str(tmp_path / "curves")).check(detector)
