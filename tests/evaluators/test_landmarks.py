"""The landmark evaluator against plain sums."""

import json

import cv2
import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data import LandmarkList
from ppface.evaluators import Landmarks
from ppface.evaluators.landmarks import area_under, nme
from ppface.ops.resize import TestSize


class Off:
    """Predicts the labelled landmarks of the crop, moved right by so many pixels a face."""

    test_size = TestSize("stretch", (60, 60))

    def __init__(self, data, moves):
        self.data, self.moves, self.seen = data, moves, 0

    def __call__(self, batch):
        found = []
        for _ in batch["image"]:
            points = self.data[self.seen]["gt_landmarks"][0]
            low, high = points.min(axis=0), points.max(axis=0)
            side = 1.2 * (high - low).max()
            found.append((points - (low + high) / 2 + side / 2) * 60 / side + [self.moves[self.seen], 0])
            self.seen += 1
        assert batch["image"].shape[1:] == (3, 60, 60) and batch["image"].dtype == np.uint8
        return {"landmarks": np.array(found, "float32")}


@pytest.fixture
def data(tmp_path, rng):
    (tmp_path / "images").mkdir()
    lines = []
    for i in range(5):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), rng.integers(0, 256, (100, 120, 3), dtype=np.uint8))
        points = [(30, 40), (80, 40), (55, 60), (35, 90), (75, 90)]
        lines.append(f"{i}.png " + " ".join(f"{x} {y}" for x, y in points))
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return LandmarkList(str(tmp_path), "list.txt")


def test_the_values_are_those_of_plain_sums(data, tmp_path):
    moves = np.array([0, 1, 2, 5, 20.0])  # pixels of the crop, in which 60 pixels are 60 of the picture: 1.2 * 50
    evaluator = Landmarks(data, threshold=0.08, save_dir=str(tmp_path / "out"), batch_size=2)
    values = dict(evaluator(Off(data, moves)))
    errors = moves / 50  # the eyes are 50 pixels apart
    assert evaluator.values() == list(values) == ["nme", "failures", "auc"]
    assert values["nme"] == pytest.approx(errors.mean(), abs=1e-3)
    assert values["failures"] == pytest.approx(0.4)
    assert values["auc"] == pytest.approx(np.mean([1, 1 - 0.02 / 0.08, 1 - 0.04 / 0.08, 0, 0]), abs=1e-2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cumulative.png", "landmarks.json", "worst.png"]
    assert len(json.loads((tmp_path / "out" / "landmarks.json").read_text())) == 5
    assert cv2.imread(str(tmp_path / "out" / "worst.png")).shape == (120, 240, 3)


def test_each_attribute_of_the_data_has_its_mean_error(data):
    class Marked(LandmarkList):
        attribute_names = ("pose", "blur", "make_up")

        def __getitem__(self, index):
            return super().__getitem__(index) | {"attributes": np.array([index < 2, index == 4, False])}

    marked = Marked(str(data.images.parent), "list.txt")
    values = dict(Landmarks(marked)(Off(data, [0, 1, 2, 5, 20.0])))
    assert set(values) < set(Landmarks(marked).values())
    assert values["nme_pose"] == pytest.approx(0.5 / 50, abs=1e-3) and values["nme_blur"] == pytest.approx(20 / 50, abs=1e-3)
    assert "nme_make_up" not in values


def test_distances_that_errors_are_divided_by():
    truth = np.zeros((68, 2))
    truth[36:42], truth[42:48], truth[36], truth[45], truth[0] = (30, 40), (70, 40), (24, 40), (76, 40), (0, 90)
    moved = truth + [3, 4]
    assert nme(moved, truth) == pytest.approx(5 / 52)
    assert nme(moved, truth, "inter_pupil") == pytest.approx(5 / 42)
    assert nme(moved, truth, "box") == pytest.approx(5 / np.sqrt(76 * 90))


def test_the_area_is_that_under_the_cumulative_curve(rng):
    errors = rng.uniform(0, 0.2, 500)
    at = np.linspace(0, 0.1, 20_001)
    share = (errors[None] <= at[:, None]).mean(axis=1)
    assert area_under(errors, 0.1) == pytest.approx(np.trapezoid(share, at) / 0.1, abs=1e-4)


def test_what_does_not_fit_is_named(data):
    off = Off(data, [0] * 5)
    for model, message in [
        (lambda batch: {"landmarks": np.zeros((len(batch["image"]), 3, 2))}, "expected 5 landmarks, as the data set has, the model has 3"),
        (off, "expected a model with input.test: {mode: stretch}, received mode 'native'"),
    ]:
        if model is off:
            off.test_size = TestSize()
        else:
            model.test_size = TestSize("stretch", (60, 60))
        with pytest.raises(DataError) as error:
            list(Landmarks(data)(model))
        assert str(error.value) == f"Landmarks: {message}"
    with pytest.raises(DataError, match=r"expected 5, 68 or 98 landmarks for inter_ocular, received 7; normalise: box takes any"):
        nme(np.zeros((7, 2)), np.ones((7, 2)))
    with pytest.raises(ValueError, match=r"expected batch_size of at least 1, threshold and margin above 0, received 0, 0.1 and 1.2"):
        Landmarks(data, batch_size=0)
