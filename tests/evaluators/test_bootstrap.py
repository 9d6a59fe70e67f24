"""Intervals of AP: each resample by the literal protocol on the drawn pictures, and what the interval covers."""

import numpy as np
import pytest

from ppface.evaluators import FaceAP, WiderFaceAP, bootstrap, wider_face
from ppface.evaluators.ap import curves
from ppface.evaluators.bootstrap import intervals
from ppface.evaluators.wider_files import SUBSETS, write_predictions


def random_set(rng, pictures=12, ties=False):
    """Faces and predictions of every picture; some pictures have none of either; which faces count in two subsets."""
    faces, predictions = [], []
    for i in range(pictures):
        boxes = np.concatenate([rng.uniform(0, 200, (i % 4, 2)), rng.uniform(10, 40, (i % 4, 2))], axis=1)
        near = np.repeat(boxes, 2, axis=0) + rng.normal(size=(2 * len(boxes), 4)) * 3
        far = np.concatenate([rng.uniform(0, 200, (3, 2)), rng.uniform(10, 40, (3, 2))], axis=1)
        rows = np.concatenate([near, far])[: 0 if i == 5 else None]
        scores = rng.uniform(0.02, 0.98, len(rows))
        predictions.append(np.column_stack([rows, scores.round(1) if ties else scores]))
        faces.append(boxes)
    number = sum(map(len, faces))
    return predictions, faces, {"some": rng.random(number) < 0.5, "all": np.ones(number, bool)}


def drawn_again(pictures, predictions, faces, counted):
    """The same set with only these pictures, each as often as it is drawn."""
    ends = np.cumsum([len(boxes) for boxes in faces])[:-1]
    masks = {name: np.split(mask, ends) for name, mask in counted.items()}
    again = {name: np.concatenate([parts[i] for i in pictures]) for name, parts in masks.items()}
    return [predictions[i] for i in pictures], [faces[i] for i in pictures], again


@pytest.mark.parametrize("faceless", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_has_the_ap_of_its_pictures(rng, monkeypatch, faceless, ties):
    labelled = random_set(rng, ties=ties)
    monkeypatch.setattr(bootstrap, "_interval", lambda aps: (list(aps), 0.0))
    found = intervals(*labelled, 60, faceless, seed=3)
    draws, expected = np.random.default_rng(3), {"some": [], "all": []}
    for _ in range(60):
        pictures = draws.integers(0, 12, 12)
        chosen = drawn_again(pictures, *labelled)
        for name, curve in curves(*chosen, faceless).items():
            if curve.faces:
                expected[name].append(curve.ap)
    for name, aps in expected.items():
        np.testing.assert_allclose(found[name][0], aps, rtol=1e-12)


def test_the_interval_covers_the_middle_of_the_resamples(rng, monkeypatch):
    labelled = random_set(rng)
    found = intervals(*labelled, 200)
    assert found == intervals(*labelled, 200) != intervals(*labelled, 200, seed=1)
    monkeypatch.setattr(bootstrap, "_interval", lambda aps: (list(aps), 0.0))
    for name, (aps, _) in intervals(*labelled, 200).items():
        low, high = found[name]
        assert np.mean(np.array(aps) < low) == pytest.approx(0.025, abs=0.006)
        assert np.mean(np.array(aps) > high) == pytest.approx(0.025, abs=0.006)


def test_sets_without_a_face_or_a_prediction():
    faces = [np.zeros((0, 4)), np.array([[5.0, 5, 20, 20]])]
    nothing = [np.zeros((0, 5))] * 2
    assert intervals(nothing, faces, {"one": np.array([True])}, 100)["one"] == (0, 0)
    assert np.isnan(intervals(nothing, faces, {"none": np.array([False])}, 100)["none"]).all()
    one = [np.zeros((0, 5)), np.array([[5, 5, 20, 20, 0.3]])]
    assert intervals(one, faces, {"one": np.array([True])}, 100)["one"] == (1, 1)  # resamples without the face have no AP


def test_evaluators_yield_intervals_on_request(official, tmp_path, rng):
    predictions = {
        name: np.array([[*box, score] for box, score in zip(boxes, rng.random(len(boxes)), strict=True)] + [[90, 90, 9, 9, 0.4]])
        for name, boxes in zip(official.names, official.faces, strict=True)
    }
    plain = wider_face.evaluate(predictions, official.folder)
    assert list(plain) == list(SUBSETS)
    found = wider_face.evaluate(predictions, official.folder, bootstrap=100)
    assert list(found) == [*SUBSETS, *(f"{subset}_ci95_{end}" for subset in SUBSETS for end in ("low", "high"))]
    assert all(found[f"{subset}_ci95_low"] <= plain[subset] == found[subset] <= found[f"{subset}_ci95_high"] for subset in SUBSETS)
    write_predictions(tmp_path / "files", predictions)
    assert wider_face.evaluate(tmp_path / "files", official.folder, 100).keys() == found.keys()


class Painted:
    """Two pictures of one face each, of which one is found."""

    def __init__(self, paint):
        self.paint = paint

    def __len__(self):
        return 2

    def name(self, i):
        return f"painted {i}"

    def __getitem__(self, i):
        shown = [[8, 8, 24, 24, 250]] if i == 0 else [[40, 40, 60, 60, 90]]
        return {"picture": self.paint((64, 64), shown), "gt_boxes": np.array([[8, 8, 24, 24]], "float32")}


def test_face_ap_yields_an_interval(paint, detector):
    evaluator = FaceAP(Painted(paint), bootstrap=200)
    values = dict(evaluator(detector))
    assert evaluator.values() == list(values)
    assert list(values) == ["ap", "recall", "ap_ci95_low", "ap_ci95_high"]
    assert (values["ap_ci95_low"], values["ap"], values["ap_ci95_high"]) == (0, 0.5, 1)  # a quarter of the resamples has either alone


@pytest.mark.parametrize("resamples", [-1, 1, 99])
def test_too_few_resamples_are_refused(official, tmp_path, paint, resamples):
    message = f"expected bootstrap to be 0 \\(no interval\\) or at least 100 resamples, received {resamples}$"
    with pytest.raises(ValueError, match="^FaceAP: " + message):
        FaceAP(Painted(paint), bootstrap=resamples)
    with pytest.raises(ValueError, match="^WiderFaceAP: " + message):
        WiderFaceAP(str(tmp_path), str(official.folder), bootstrap=resamples)
    with pytest.raises(ValueError, match="^evaluate: " + message):
        wider_face.evaluate({}, official.folder, resamples)
