"""Samples become one batch, or one line says why not."""

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data.batch import collate


def sample(size=(8, 9), faces=1, landmarks=5):
    return {"image": np.zeros((3, *size), "uint8"), "gt_landmarks": np.ones((faces, landmarks, 2), "float32")}


def test_faces_are_padded_with_zeros():
    batch = collate([sample(faces=2), sample(faces=0), sample(faces=1)])
    assert batch["image"].shape == (3, 3, 8, 9) and batch["gt_landmarks"].shape == (3, 2, 5, 2)
    assert batch["gt_count"].tolist() == [2, 0, 1] and batch["gt_landmarks"].sum(axis=(1, 2, 3)).tolist() == [20, 0, 10]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            sample((8, 10)),
            "expected image of one shape in all samples of a batch, received [3, 8, 9] and [3, 8, 10]: "
            "end train.transforms with one that gives all pictures one size, such as Resize",
        ),
        (
            sample(landmarks=68),
            "expected gt_landmarks of one shape in all samples of a batch, received [5, 2] and [68, 2]: choose data sets that agree",
        ),
    ],
)
def test_samples_that_do_not_fit_are_one_line(other, message):
    with pytest.raises(DataError) as error:
        collate([sample(), sample(), other])
    assert str(error.value) == message
