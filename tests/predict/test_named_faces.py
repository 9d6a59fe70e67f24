"""Names of faces in pictures and in videos, and people of a folder."""

import logging

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.predict import Face
from ppface.predict.face_quality import QualityLimits
from ppface.predict.folder_names import FolderNames
from ppface.predict.named_faces import NamedFaces

ANN, BOB = np.eye(4)[:2]


class Gallery:
    """Ann, Bob, or Unknown below .8; keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def names_of(self, embeddings):
        self.asked.append(embeddings)
        scores = embeddings @ np.stack([ANN, BOB]).T / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return [(("Ann", "Bob")[row.argmax()] if row.max() >= 0.8 else "Unknown", row.max()) for row in scores]


def face(x, embedding, side=40.0, quality=1.0):
    return Face((x, 0.0, x + side, side), 0.9, None, embedding, None, quality)


SIZED = QualityLimits(size=30)


def test_faces_of_a_picture_are_named_each_by_itself():
    gallery = Gallery()
    found = NamedFaces(gallery, limits=SIZED)([face(0, 3 * ANN), face(0, ANN + BOB), face(9, BOB, side=20.0), face(0, None)])
    assert [(one.name, one.track) for one in found] == [("Ann", None), ("Unknown", None), (None, None), (None, None)]
    assert found[0].similarity == 1.0 and isinstance(found[0].similarity, float) and found[2].similarity is None
    assert [one.refusals for one in found[1:]] == [
        (),
        ("too small: 20 pixels, at least 30 needed",),
        ("no embedding: its landmarks determine no alignment",),
    ]
    assert found[0].box == (0.0, 0.0, 40.0, 40.0) and len(gallery.asked) == 1 and len(gallery.asked[0]) == 2
    assert NamedFaces(gallery)([]) == [] and len(gallery.asked) == 1


def test_one_identity_a_track():
    gallery = Gallery()
    named = NamedFaces(gallery, limits=SIZED)
    doubtful = ANN + 0.9 * BOB
    frames = [
        [face(0, doubtful, side=20.0)],  # too small: followed, not searched
        [face(0, ANN, side=36.0, quality=3.0)],
        [face(0, doubtful, quality=1.0), face(200, BOB)],
        [face(4, BOB + ANN, side=20.0)],  # does not count, but has its track's name
    ]
    found = [named(faces, number) for number, faces in enumerate(frames)]
    assert [[(one.track, one.name) for one in faces] for faces in found] == [
        [(1, None)], [(1, "Ann")], [(1, "Ann"), (2, "Bob")], [(1, "Ann")],
    ]  # fmt: skip
    alone = Gallery().names_of(doubtful[None])[0]
    assert alone[0] == "Unknown"
    fused = 3 * ANN + doubtful / np.linalg.norm(doubtful)
    assert found[3][0].similarity == pytest.approx(fused[0] / np.linalg.norm(fused))
    assert found[3][0].refusals == ("too small: 20 pixels, at least 30 needed",)
    assert named.summary() == [
        f"track 1: Ann ({found[3][0].similarity:.2f}), frames 0 to 3, seen in 4",
        "track 2: Bob (1.00), frames 2 to 2, seen in 1",
    ]


def test_without_a_gallery_faces_are_only_followed():
    named = NamedFaces(None, limits=SIZED)
    (one,) = named([face(0, ANN)], 0)
    assert (one.track, one.name, one.similarity) == (1, None, None)
    assert named.summary() == ["track 1, frames 0 to 0, seen in 1"]


class Pipeline:
    """Finds in a picture as many faces as its last pixel has red: the first is small; all show the colour of the first pixel."""

    def __call__(self, file):
        pixels = np.asarray(Image.open(file).convert("RGB"))
        sides = (32.0, 40.0, 36.0)[: pixels[-1, -1, 0]]
        return [face(0, np.append(pixels[0, 0].astype(float), side == 40.0), side) for side in sides]


@pytest.fixture
def people(tmp_path):
    def add(name, colour, count=1):
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[0, 0], pixels[-1, -1, 0] = colour, count
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)

    add("Ann/1.png", (100, 0, 0))
    add("Ann/2.png", (0, 100, 0), 3)
    add("Ann/3.png", (0, 0, 100), 0)
    add("Zoë Łu/a.png", (0, 0, 50))
    add("beside.png", (9, 9, 9))
    return tmp_path


def test_people_of_a_folder(people, caplog):
    with caplog.at_level(logging.WARNING, "ppface"):
        gallery = FolderNames(Pipeline(), people, threshold=0.6, limits=SIZED)
    assert gallery.names == ["Ann", "Ann", "Zoë Łu"]
    assert caplog.messages == [f"{people / 'Ann/3.png'}: not enrolled: no face found"]
    answers = gallery.names_of(np.array([[7.0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 1], [0, 200, 0, 2], [0, 0, 0, 0]]))
    assert [name for name, _ in answers] == ["Ann", "Zoë Łu", "Unknown", "Ann", "Unknown"]
    assert [score for _, score in answers] == pytest.approx([1, 1, 1 / np.sqrt(3), 1, 0], abs=1e-4)


def test_folders_of_people_that_cannot_be_used(people, tmp_path):
    with pytest.raises(ValueError, match=r"FolderNames: expected threshold in -1\.\.1, received nan"):
        FolderNames(Pipeline(), people, float("nan"))
    for folder, limits, message in (
        (people / "no", SIZED, f"{people / 'no'}: expected a folder with a folder of photographs for each person, there is none"),
        (
            people / "Ann",
            SIZED,
            f"{people / 'Ann'}: expected a folder of photographs for each person, FOLDER/NAME/photograph.jpg, found none",
        ),
        (people, QualityLimits(size=35), f"{people}: no photograph of Zoë Łu can be enrolled, for the reasons above"),
    ):
        with pytest.raises(DataError) as raised:
            FolderNames(Pipeline(), folder, 0.6, limits)
        assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unknown", "'unknown': expected another name: searches answer Unknown below the threshold"),
        ("a\x1b[2J", r"'a\x1b[2J': expected a person's name in UTF-8 without line breaks and other control characters"),
    ],
)
def test_a_folder_of_a_name_that_nobody_can_have_is_refused(people, name, why):
    (people / "Ann").rename(people / name)
    with pytest.raises(DataError) as raised:
        FolderNames(Pipeline(), people, 0.6, SIZED)
    assert str(raised.value) == f"{str(people / name)!r}: rename this folder of a person: {why}"


def test_folders_of_one_name_in_both_unicode_forms_are_one_person(people):
    (people / "Ann").rename(people / "Zoe\u0308 Łu")  # as macOS writes it
    assert FolderNames(Pipeline(), people, 0.6, SIZED).names == ["Zoë Łu"] * 3
