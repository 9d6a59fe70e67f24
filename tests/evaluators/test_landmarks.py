"""The landmark evaluator against plain sums."""

import json

import cv2
import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data import LandmarkList, Subset
from ppface.evaluators import Landmarks
from ppface.evaluators.landmarks import area_under, evaluate, nme, unit
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


def test_errors_are_those_before_the_crop_is_stretched(data):
    class Wide(Off):
        test_size = TestSize("stretch", (60, 120))

        def __call__(self, batch):
            return {"landmarks": super().__call__({"image": batch["image"][..., ::2]})["landmarks"] * [2, 1]}

    moves = np.array([0, 1, 2, 5, 20.0])
    assert dict(Landmarks(data)(Wide(data, moves)))["nme"] == pytest.approx(moves.mean() / 50, abs=1e-3)


def test_each_attribute_of_the_data_has_its_mean_error(data):
    class Marked(LandmarkList):
        attribute_names = ("pose", "blur", "make_up")

        def __getitem__(self, index):
            return super().__getitem__(index) | {"attributes": np.array([index < 2, index == 4, False])}

    marked = Marked(str(data.images.parent), "list.txt")
    values = dict(Landmarks(marked)(Off(data, [0, 1, 2, 5, 20.0])))
    assert set(values) < set(Landmarks(marked).values())
    assert values["nme_pose"] == pytest.approx(0.5 / 50, abs=1e-3) and values["nme_blur"] == pytest.approx(20 / 50, abs=1e-3)
    assert (values["failures_pose"], values["failures_blur"]) == (0, 1) and values["auc_blur"] == 0
    assert values["auc_pose"] == pytest.approx(np.mean([1, 1 - 0.02 / 0.1]), abs=1e-2)
    assert not [name for name in values if name.endswith("make_up")]
    rising = set(Landmarks(marked).values()) - set(Landmarks(marked).lower_is_better)
    assert rising == {"auc", "auc_pose", "auc_blur", "auc_make_up"}
    evaluator = Landmarks(marked)
    evaluator.check(Off(data, [0, 1, 2, 5, 20.0]))
    assert set(evaluator.values()) == set(values)


def test_arrays_give_the_values_of_loops(rng):
    truth = rng.uniform(0, 100, (40, 68, 2))
    points = truth + rng.normal(0, 2, truth.shape) * rng.uniform(0, 4, (40, 1, 1))
    errors = []
    for face, true in zip(points, truth, strict=True):
        distance = sum(((x - a) ** 2 + (y - b) ** 2) ** 0.5 for (x, y), (a, b) in zip(face, true, strict=True)) / 68
        errors.append(distance / ((true[36][0] - true[45][0]) ** 2 + (true[36][1] - true[45][1]) ** 2) ** 0.5)
    values = evaluate(points, truth, threshold=0.08)
    assert values["nme"] == pytest.approx(sum(errors) / 40)
    assert values["failures"] == sum(error > 0.08 for error in errors) / 40 and 0 < values["failures"] < 1
    assert values["auc"] == pytest.approx(sum(max(0, 0.08 - error) / 0.08 for error in errors) / 40)


@pytest.mark.parametrize("which", [0, 1])
def test_arrays_that_are_not_finite_are_refused(rng, which):
    """NaN is not above any threshold: such a face would count as a good one."""
    arrays = [rng.uniform(0, 100, (4, 68, 2)) for _ in range(2)]
    arrays[which][2, 3] = np.nan
    with pytest.raises(DataError) as error:
        evaluate(*arrays)
    assert str(error.value) == "evaluate: expected landmarks of finite numbers, received others in 1 faces, the first in row 2"
    with pytest.raises(ValueError, match=r"^evaluate: expected a threshold above 0, received 0$"):
        evaluate(arrays[1 - which], arrays[1 - which], threshold=0)


def test_the_worst_faces_come_first_with_both_landmarks(data, tmp_path):
    list(Landmarks(data, save_dir=str(tmp_path))(Off(data, [0, 4, 20.0, 8, 1])))
    worst = cv2.imread(str(tmp_path / "worst.png"))[:, :, ::-1]
    truth = (np.array([(30, 40), (80, 40), (55, 60), (35, 90), (75, 90)]) - [55, 65] + 30).astype(int)  # in a crop of 60 pixels
    for tile, move in enumerate([20, 8, 4, 1]):  # four in a row
        x, y = truth[0]
        assert tuple(worst[y, 60 * tile + x + move]) == (0, 255, 0)
        if move > 2:
            assert tuple(worst[y, 60 * tile + x]) == (255, 0, 0)


def test_distances_that_errors_are_divided_by():
    truth = np.zeros((68, 2))
    truth[36:42], truth[42:48], truth[36], truth[45], truth[0] = (30, 40), (70, 40), (24, 40), (76, 40), (0, 90)
    moved = truth + [3, 4]
    assert nme(moved, truth) == pytest.approx(5 / 52)
    assert nme(moved, truth, "inter_pupil") == pytest.approx(5 / 42)
    assert nme(moved, truth, "box") == pytest.approx(5 / np.sqrt(76 * 90))


def test_another_distance_is_refused(rng):
    points = rng.normal(size=(2, 68, 2))
    with pytest.raises(ValueError, match="expected normalise: inter_ocular, inter_pupil or box, received 'eyes'"):
        evaluate(points, points, normalise="eyes")


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
    with pytest.raises(
        DataError, match=r"^a.png: expected a box of landmarks with an area for normalise: box, received a distance of 0 pixels$"
    ):
        unit(np.full((7, 2), 3.0), "box", "a.png")
    with pytest.raises(DataError) as error:
        evaluate(np.zeros((2, 68, 2)), np.zeros((2, 5, 2)))
    assert str(error.value) == "evaluate: expected two arrays (N, K, 2) of one shape with N >= 1, received (2, 68, 2) and (2, 5, 2)"
    with pytest.raises(ValueError, match=r"expected batch_size of at least 1, threshold and margin above 0, received 0, 0.1 and 1.2"):
        Landmarks(data, batch_size=0)


class Fixed:
    """A model that answers with the same landmarks everywhere."""

    def __init__(self, count=5, size=(60, 60), mode="stretch", value=7.0):
        self.count, self.value, self.test_size = count, value, TestSize(mode, size)

    def __call__(self, batch):
        return {"landmarks": np.full((len(batch["image"]), self.count, 2), self.value)}


def test_all_faces_are_looked_at_before_training(data, tmp_path):
    Landmarks(data).check(Fixed())
    with pytest.raises(DataError) as error:
        Landmarks(data).check(Fixed(count=68))
    assert str(error.value) == f"{data.name(0)}: expected 68 landmarks, as the model has, received 5; so have 4 more pictures"
    boxes = lambda batch: {"boxes": np.zeros((0, 4)), "scores": np.zeros(0)}  # noqa: E731
    boxes.test_size = TestSize("stretch", (60, 60))
    with pytest.raises(DataError, match=r"^expected a model with the output 'landmarks', received one with boxes, scores$"):
        Landmarks(data).check(boxes)
    with pytest.raises(DataError, match=r"^expected a model with the output 'landmarks', received one with boxes, scores$"):
        list(Landmarks(data)(boxes))
    (tmp_path / "images" / "3.png").unlink()
    data.points[1, 1] = data.points[1, 0]  # both eyes at one place
    with pytest.raises(DataError) as error:
        Landmarks(data).check(Fixed())
    assert str(error.value).splitlines() == [
        f"{data.name(1)}: expected eyes at two places for normalise: inter_ocular, received a distance of 0 pixels",
        f"{data.name(3)}: no such picture file",
    ]
    with pytest.raises(DataError, match=r"^Landmarks: expected a model with input.test: {mode: stretch}, received mode 'native'$"):
        Landmarks(data).check(Fixed(mode="native"))


@pytest.mark.parametrize(
    ("sample", "received"),
    [
        ({"gt_landmarks": np.zeros((2, 5, 2))}, "2 faces, 2 of them with landmarks"),
        ({"gt_landmarks": np.zeros((1, 5, 2)), "gt_has_landmarks": np.array([False])}, "1 faces, 0 of them with landmarks"),
        ({"gt_landmarks": np.zeros((0, 5, 2))}, "0 faces, 0 of them with landmarks"),
        ({}, "0 faces, 0 of them with landmarks"),
    ],
)
def test_a_picture_without_one_face_with_landmarks_is_named(sample, received):
    class One:
        def __len__(self):
            return 1

        def __getitem__(self, i):
            return sample

        def name(self, i):
            return "a.png"

    with pytest.raises(DataError) as error:
        Landmarks(One()).check(Fixed())
    assert str(error.value) == f"a.png: expected one face with landmarks, received {received}"


def test_a_data_set_without_pictures_and_landmarks_that_are_no_numbers_are_named(data):
    with pytest.raises(DataError) as error:
        list(Landmarks(data)(Fixed(value=np.nan)))
    assert str(error.value) == f"{data.name(0)}: expected landmarks of finite numbers from the model, received nan"

    class Empty:
        def __len__(self):
            return 0

    for ask in (Landmarks(Empty()).check, lambda model: list(Landmarks(Empty())(model))):
        with pytest.raises(DataError, match=r"^Landmarks: expected pictures to evaluate, Empty has none$"):
            ask(Fixed())


def test_a_part_of_a_data_set_has_its_attributes(data):
    data.attribute_names = ("pose",)
    assert Subset(data, stop=2).attribute_names == ("pose",)
    del data.attribute_names
    assert Subset(data, stop=2).attribute_names == ()
