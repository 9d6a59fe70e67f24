"""Concat: the samples of several data sets in order, with landmarks where only some have them."""

import logging

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data import Concat, LandmarkList, Subset, SyntheticFaces, SyntheticIdentities, SyntheticLandmarks
from ppface.data.batch import collate
from ppface.data.loading.pipeline import Pipeline
from ppface.data.transforms import Flip


def faces(length: int, landmarks: int = 5, seed: int = 0) -> SyntheticFaces:
    return SyntheticFaces(length=length, size=(32, 48), seed=seed, faces=(1, 1), landmarks=landmarks)


def test_samples_come_in_order_each_as_often_as_wanted():
    joined = Concat([faces(2, seed=0), Subset(faces(4, seed=1), start=1)], times=[2, 1])
    names = ["synthetic-0-0", "synthetic-0-1"] * 2 + ["synthetic-1-1", "synthetic-1-2", "synthetic-1-3"]
    assert len(joined) == 7 and [joined.name(i) for i in range(7)] == names
    assert [joined[i]["picture"].name for i in range(7)] == names


def test_faces_of_a_set_without_landmarks_are_not_labelled():
    joined = Concat([faces(2, landmarks=0), faces(2)])
    unlabelled, labelled = joined[0], joined[3]
    assert unlabelled["gt_landmarks"].shape == (1, 5, 2) and not unlabelled["gt_has_landmarks"].any()
    np.testing.assert_array_equal(labelled["gt_landmarks"], faces(2)[1]["gt_landmarks"])
    batch = collate([Pipeline([Flip(p=1)])(joined[i], np.random.default_rng(0)) for i in (0, 2)])
    assert batch["gt_landmarks"].shape == (2, 1, 5, 2) and not batch["gt_landmarks"][0].any() and batch["gt_landmarks"][1].any()


def test_no_landmarks_appear_where_no_set_has_them():
    assert "gt_landmarks" not in Concat([faces(1, landmarks=0)])[0]


def test_an_index_past_the_end_is_an_error():
    with pytest.raises(IndexError, match="sample 1 of 1"):
        Concat([faces(1)])[1]


@pytest.mark.parametrize(
    ("datasets", "times", "error", "message"),
    [
        ([], None, ValueError, "Concat: expected data sets and `times` of at least 1 for each of 0, received []"),
        ([faces(1)], [0], ValueError, "Concat: expected data sets and `times` of at least 1 for each of 1, received [0]"),
        ([faces(1)], [1, 1], ValueError, "Concat: expected data sets and `times` of at least 1 for each of 1, received [1, 1]"),
        (
            [faces(1, landmarks=5), faces(1, landmarks=6)],
            None,
            DataError,
            "Concat: expected the same number of landmarks in all data sets, received 5 and 6",
        ),
        (
            [SyntheticIdentities(identities=1, images=1)],
            None,
            DataError,
            "Concat: expected data sets without labels of people, received SyntheticIdentities",
        ),
    ],
)
def test_sets_that_do_not_fit(datasets, times, error, message):
    with pytest.raises(error) as raised:
        Concat(datasets, times)
    assert str(raised.value) == message


class Attributed:
    """A data set with another key."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int) -> dict:
        return {"attributes": np.zeros(6, bool)}


def test_sets_with_other_keys_are_named():
    with pytest.raises(DataError) as raised:
        Concat([faces(1), Attributed()])
    expected = (
        "Concat: expected data sets whose samples have the same keys, received: SyntheticFaces has gt_boxes; Attributed has attributes"
    )
    assert str(raised.value) == expected


def test_a_pose_that_only_drawn_faces_have_is_left_out(tmp_path, caplog):
    Image.new("RGB", (100, 90)).save(tmp_path / "a.jpg")
    (tmp_path / "list.txt").write_text("a.jpg " + " ".join(str(10 + i % 61) for i in range(136)))
    photographs = LandmarkList(str(tmp_path), "list.txt", images=".")
    with caplog.at_level(logging.INFO, "ppface"):
        joined = Concat([SyntheticLandmarks(1, size=32), photographs])
    assert [sorted(joined[i]) for i in (0, 1)] == [["gt_boxes", "gt_has_landmarks", "gt_landmarks", "picture"]] * 2
    assert caplog.messages == ["Concat: `pose` is left out, only SyntheticLandmarks has it: losses take it from the landmarks"]
    batch = collate([{key: value for key, value in joined[i].items() if key != "picture"} for i in (0, 1)])
    assert batch["gt_landmarks"].shape == (2, 1, 68, 2)
    assert "pose" in Concat([SyntheticLandmarks(1, size=32), SyntheticLandmarks(1, size=32, seed=1)])[1]
