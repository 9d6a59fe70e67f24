"""The digest of a data set's lists: the same for the same lists, another for any change of them."""

import numpy as np
import pytest

from ppface.data import IdentityFolder, IdentityList, IdentitySubset, RecordIdentities, SyntheticFaces, SyntheticIdentities
from ppface.data.loading.digest import digest
from ppface.data.recordio.record_writer import RecordWriter


def test_drawn_sets_differ_by_their_arguments():
    same = [digest(SyntheticFaces(8, seed=3)) for _ in range(2)]
    others = {digest(SyntheticFaces(9, seed=3)), digest(SyntheticFaces(8, seed=4)), digest(SyntheticIdentities(2, 4, seed=3))}
    assert same[0] == same[1]
    assert len(others | {same[0]}) == 4


def test_a_subset_differs_from_its_data_set_and_by_its_choice():
    people = SyntheticIdentities(6, 2)
    assert len({digest(people), digest(IdentitySubset(people, stop=3)), digest(IdentitySubset(people, start=3))}) == 3


def test_a_renamed_picture_and_a_moved_label_change_it(aligned_faces, tmp_path):
    before = digest(IdentityFolder(str(aligned_faces), size=(16, 16)))
    assert digest(IdentityFolder(str(aligned_faces), size=(16, 16))) == before
    (aligned_faces / "person 0" / "0.png").rename(aligned_faces / "person 0" / "other.png")
    renamed = digest(IdentityFolder(str(aligned_faces), size=(16, 16)))
    digests = {before, renamed}
    for labels in ("0 1", "1 0"):
        list_file = tmp_path / "list.txt"
        names = ["person 0/1.png", "person 1/5.png"]
        list_file.write_text("".join(f"{name} {label}\n" for name, label in zip(names, labels.split(), strict=True)))
        digests.add(digest(IdentityList(str(aligned_faces), str(list_file), size=(16, 16))))
    assert len(digests) == 4


def test_one_record_more_changes_it_and_a_look_at_the_labels_does_not(tmp_path):
    found = []
    for count in (4, 5):
        with RecordWriter(tmp_path / f"{count}.rec") as writer:
            for i in range(count):
                writer.add(b"\xff\xd8\xff" + bytes(8), i // 3)
        data = RecordIdentities(str(tmp_path / f"{count}.rec"))
        found.append(digest(data))
        assert len(data.labels) == count
        assert digest(data) == found[-1]
    assert found[0] != found[1]


@pytest.mark.parametrize("value", [np.float32(1), np.arange(3), "a", ["a"], [1], {"a": 1}, None, range(3), b"a"])
def test_every_kind_of_value_counts(value):
    class Holds:
        def __init__(self, value):
            self.value = value

    assert digest(Holds(value)) == digest(Holds(value)) != digest(Holds("something else"))
    assert digest(Holds(value)) != digest(Holds([value]))
