"""Classes with the same names and other people: found by two pictures of each class, in folders, lists and records."""

import io
import itertools
import json
import struct

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data.loading.subset import Subset
from ppface.data.recognition.easy_hard import EasyHard
from ppface.data.recognition.identity_folder import IdentityFolder
from ppface.data.recognition.identity_list import IdentityList
from ppface.data.recognition.identity_subset import IdentitySubset
from ppface.data.recognition.record_identities import RecordIdentities
from ppface.data.recordio.record_writer import RecordWriter
from ppface.data.synthetic.synthetic_identities import SyntheticIdentities
from ppface.engine import class_examples


@pytest.fixture
def people(tmp_path):
    """The folder of three people, each with pictures 0.png, 1.png and 2.png."""
    for person in range(3):
        for number in range(3):
            file = tmp_path / "people" / "abc"[person] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (person, number, 0)).save(file)
    return tmp_path / "people"


def moved(run, data) -> str:
    return class_examples.moved(run, data, data.class_names)


def test_two_folders_that_swapped_their_names(people, tmp_path):
    class_examples.write(tmp_path, IdentityFolder(str(people)))
    assert moved(tmp_path, IdentityFolder(str(people))) == ""
    (people / "a").rename(people / "x")
    (people / "b").rename(people / "a")
    (people / "x").rename(people / "b")
    assert moved(tmp_path, IdentityFolder(str(people))) == f"{people}/b/0.png was of 'a', is of 'b'"


def test_pictures_may_be_added_removed_corrected_and_aligned_again(people, tmp_path):
    class_examples.write(tmp_path, IdentityFolder(str(people)))
    (people / "a" / "0.png").rename(people / "b" / "9.png")  # was with the wrong person
    Image.new("RGB", (8, 8), (77, 7, 7)).save(people / "a" / "z.png")  # a's second example is not its last picture any more
    assert moved(tmp_path, IdentityFolder(str(people))) == ""
    for file in people.glob("c/*.png"):
        Image.new("RGB", (8, 8), (99, 9, 9)).save(file)
    (people / "b" / "0.png").write_bytes(b"")
    (people / "b" / "2.png").unlink()
    assert moved(tmp_path, IdentityFolder(str(people))) == ""


def test_a_picture_that_two_people_share_is_no_difference(people, tmp_path):
    for number in range(3):
        (people / "b" / f"{number}.png").write_bytes((people / "a" / f"{number}.png").read_bytes())
    class_examples.write(tmp_path, IdentityFolder(str(people)))
    assert moved(tmp_path, IdentityFolder(str(people))) == ""


def encoded(person: int, number: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (person, number, 0)).save(data, "png")
    return data.getvalue()


def records(file, order) -> RecordIdentities:
    """Records of three people in the layout of faces_emore; `order` says who gets the labels 0, 1, 2."""
    with RecordWriter(file) as writer:
        for label, person in enumerate(order):
            for number in range(2):
                writer.add(encoded(person, number), label)
    return RecordIdentities(str(file))


def plain_records(file, labels) -> RecordIdentities:
    """Records without record 0, of the same three people with these labels."""
    parts, index, at = [], "", 0
    for key, (person, number) in enumerate(itertools.product(range(3), range(2))):
        body = struct.pack("<IfQQ", 0, labels[person], key, 0) + encoded(person, number)
        parts.append(struct.pack("<II", 0xCED7230A, len(body)) + body + bytes(-len(body) % 4))
        index += f"{key}\t{at}\n"
        at += len(parts[-1])
    file.write_bytes(b"".join(parts))
    file.with_suffix(".idx").write_text(index)
    return RecordIdentities(str(file))


def test_records_with_the_same_labels_and_other_people(tmp_path):
    file = tmp_path / "train.rec"
    class_examples.write(tmp_path, records(file, [0, 1, 2]))
    assert moved(tmp_path, records(file, [0, 1, 2])) == ""
    assert moved(tmp_path, records(file, [1, 2, 0])) == f"{file}: record 5 was of '0', is of '2'"
    assert moved(tmp_path, records(file, [0, 2, 1])) == f"{file}: record 5 was of '1', is of '2'"
    assert moved(tmp_path, plain_records(file, [0, 2, 1])) == f"{file}: record 2 was of '1', is of '2'"


def test_records_without_a_layout(tmp_path):
    file = tmp_path / "train.rec"
    class_examples.write(tmp_path, plain_records(file, [7, 8, 11]))
    assert moved(tmp_path, plain_records(file, [7, 8, 11])) == ""
    assert moved(tmp_path, plain_records(file, [8, 7, 11])) == f"{file}: record 0 was of '7', is of '8'"


def test_a_list_of_other_files_with_the_same_pictures(people, tmp_path):
    def listed(labels):
        (people / "list.txt").write_text("".join(f"{person}/{n}.png {labels[person]}\n" for person in labels for n in range(3)))
        return IdentityList(str(people), "list.txt")

    class_examples.write(tmp_path, listed({"a": 5, "b": 6, "c": 9}))
    assert moved(tmp_path, listed({"c": 9, "a": 5, "b": 6})) == ""
    assert moved(tmp_path, listed({"a": 6, "b": 5, "c": 9})) == "a/0.png was of '5', is of '6'"
    for person in "abc":
        (people / person).rename(people / f"new {person}")
    assert moved(tmp_path, listed({"new a": 5, "new b": 9, "new c": 6})) == f"{people}/new b/0.png was of '6', is of '9'"


@pytest.mark.parametrize("wrap", [lambda data: Subset(data, stop=-1), EasyHard, lambda data: IdentitySubset(data, stop=2)])
def test_parts_of_a_data_set(people, tmp_path, wrap):
    class_examples.write(tmp_path, wrap(IdentityFolder(str(people))))
    assert moved(tmp_path, wrap(IdentityFolder(str(people)))) == ""
    (people / "a").rename(people / "x")
    (people / "b").rename(people / "a")
    (people / "x").rename(people / "b")
    assert moved(tmp_path, wrap(IdentityFolder(str(people)))) == f"{people}/b/0.png was of 'a', is of 'b'"


class Many:
    """One picture a class; `of` says whose."""

    def __init__(self, of):
        self.of, self.labels, self.class_names = of, np.arange(len(of)), [str(label) for label in range(len(of))]

    def name(self, index):
        return f"picture {index}"

    def encoded(self, index):
        if self.of[index] is None:
            raise DataError("broken")
        return str(self.of[index]).encode()


def test_of_many_classes_neighbours_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(class_examples, "BLOCKS", 5)
    monkeypatch.setattr(class_examples, "BLOCK", 4)
    before = list(range(100))
    class_examples.write(tmp_path, Many([None, *before[1:]]))
    kept = json.loads((tmp_path / "class_examples.json").read_text())
    assert [int(label) for label in kept] == [1, 2, 3] + [first + i for first in (20, 40, 60, 80) for i in range(4)]
    assert moved(tmp_path, Many(before)) == ""
    assert moved(tmp_path, Many([*before[:50], 999, *before[50:-1]])) == "picture 61 was of '60', is of '61'"  # one more person


def test_data_without_labels_have_no_examples(tmp_path):
    class Faces:
        files, labels, class_names = ("a.jpg",), None, ("face",)

    class_examples.write(tmp_path, Faces())
    assert moved(tmp_path, Faces()) == "" and not (tmp_path / "class_examples.json").exists()


def test_drawn_people_are_not_drawn_for_it(tmp_path):
    class_examples.write(tmp_path, SyntheticIdentities(10**6, 1))
    assert not (tmp_path / "class_examples.json").exists()
