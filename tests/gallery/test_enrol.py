"""Enrolment through `faces_of`: names of pictures, and a reason for each that is left out."""

from types import SimpleNamespace

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.gallery.enrol import enrol, name_of


@pytest.mark.parametrize(
    ("file", "name"), [("Ann/1.jpg", "Ann"), ("Ann/b/1_2.jpg", "Ann"), ("Ann_1.jpg", "Ann"), ("Ann B._2_3.png", "Ann B."), ("_/x.png", "_")]
)
def test_names_are_folders_or_left_of_the_first_underscore(file, name):
    assert name_of(file) == name


@pytest.mark.parametrize("file", ["ann.jpg", "_x.jpg", "unknown/1.jpg"])
def test_a_picture_without_a_name_is_refused(file):
    with pytest.raises(DataError):
        name_of(file)


def face(rng, quality=1.0, aligned=None):
    return SimpleNamespace(embedding=rng.normal(size=16).astype("float32"), quality=quality, aligned=aligned)


def test_every_picture_is_enrolled_or_has_a_reason(make, rng):
    gallery, _ = make(keep_crops=True)
    crop = np.zeros((4, 4, 3), "uint8")
    nan = SimpleNamespace(embedding=np.full(16, np.nan), quality=1.0, aligned=crop)
    given = {
        "Ann/good.jpg": [face(rng, 0.9, crop)], "Ann/none.jpg": [], "Ann/two.jpg": [face(rng), face(rng)], "Ann/blurred.jpg": [face(rng, 0.1)],
        "Ann/bare.jpg": [face(rng)], "bob.jpg": [face(rng)], "Bob/nan.jpg": [nan], "Bob/unrated.jpg": [face(rng, None)],
    }  # fmt: skip
    done = list(enrol(gallery, given.__getitem__, [(file, file) for file in given], min_quality=0.5))
    assert [one.reason for one in done] == [
        "",
        "expected one face, found none",
        "expected one face, found 2",
        "expected a quality of at least 0.5, received 0.1",
        "expected a pipeline that returns aligned faces, as this gallery keeps them",
        "bob.jpg: expected NAME/bob.jpg or NAME_anything.jpg: whose picture is it?",
        "expected embeddings of finite numbers, received NaN or infinity: the model is damaged",
        "expected a quality of at least 0.5, the model reports none",
    ]
    assert gallery.list() == {"Ann": 1}
