"""Easy and hard halves: from copies or a list, degraded or not, half a batch each."""

import numpy as np
import pytest

from ppface.core.errors import DataError, UserError
from ppface.data import EasyHard, EasyHardBatches, IdentityBatches, Loader, SyntheticIdentities
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import LowResolution, OnHard, Photometric


class People:
    """`counts[p]` pictures of person p, called person/number.jpg."""

    def __init__(self, counts):
        self.labels = np.repeat(np.arange(len(counts)), counts)
        self.files = [f"root/{person}/{number}.jpg" for person, count in enumerate(counts) for number in range(count)]

    def __len__(self):
        return len(self.labels)

    def facts(self):
        return {"class_num": 3}

    def name(self, i):
        return self.files[i]

    def __getitem__(self, i):
        return {"picture": Picture.of(np.full((2, 2, 3), i, np.uint8)), "label": self.labels[i]}


def test_without_a_list_every_picture_has_a_hard_copy():
    data = EasyHard(People([2, 3, 4]))
    assert len(data) == 18 and data.labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2] * 2
    assert [data[i]["hard"] for i in (0, 8, 9, 17)] == [False, False, True, True]
    assert data.name(12) == data.name(3) == "root/1/1.jpg" and data[12]["label"] == data[3]["label"] == 1
    assert data.facts() == {"class_num": 3} and data.class_names is None


def test_a_list_names_the_hard_pictures_by_ends_of_their_paths(tmp_path):
    (tmp_path / "hard.txt").write_text("0/1.jpg\n\nroot/2/3.jpg\n3.jpg\n")
    data = EasyHard(People([2, 3, 4]), str(tmp_path / "hard.txt"))
    assert [data.name(i) for i in np.flatnonzero(data.hard)] == ["root/0/1.jpg", "root/2/3.jpg"] and len(data) == 9
    assert data[1]["hard"] and not data[0]["hard"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2/9.jpg\n0/0.jpg\n1.jpg\n",
            "{0}:1: expected the name of one picture, received 2/9.jpg, with which 0 names end\n"
            "{0}:3: expected the name of one picture, received 1.jpg, with which 2 names end: write more of its path",
        ),
        ("0/0.jpg\n0/1.jpg\n1/0.jpg\n1/1.jpg", "{0}: expected a list of some pictures, received all 4: none is left as an easy one"),
        (None, "EasyHard: no label file {0}: list the hard pictures in it, or leave it out"),
    ],
)
def test_lists_that_do_not_fit_are_refused(text, message, tmp_path):
    file = tmp_path / "hard.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError) as error:
        EasyHard(People([2, 2]), str(file))
    assert str(error.value) == message.format(file)


@pytest.mark.parametrize(("people", "images"), [(2, 2), (3, 3)])
def test_each_half_holds_p_people_with_k_pictures(people, images, tmp_path):
    (tmp_path / "hard.txt").write_text("0/0.jpg\n0/1.jpg\n1/0.jpg\n1/4.jpg\n2/3.jpg\n2/0.jpg\n2/1.jpg\n")
    data, sampler = EasyHard(People([6, 6, 6, 6]), str(tmp_path / "hard.txt")), EasyHardBatches(people, images)
    epochs = []
    for epoch in range(3):
        order = sampler.order(data, 3, epoch)
        assert len(order) == sampler.length(data) == 2 * 17 // (2 * people * images) * 2 * people * images
        for batch in order.reshape(-1, 2, images, people):
            assert not data.hard[batch[0]].any() and data.hard[batch[1]].all()
            labels = data.labels[batch]
            assert (labels == labels[:, :1]).all() and all(len(set(half[0])) == people for half in labels)
        epochs.append(order.tolist())
    assert epochs[0] != epochs[1] and sampler.order(data, 3, 0).tolist() == epochs[0] != sampler.order(data, 4, 0).tolist()


def test_an_epoch_takes_every_picture_of_equal_halves():
    data, sampler = EasyHard(People([4, 4])), EasyHardBatches(2, 2)
    assert sorted(sampler.order(data, 0, 0)) == list(range(16))


def test_hard_samples_alone_are_degraded_and_state_it_in_the_batch():
    data = EasyHard(SyntheticIdentities(3, 2, (32, 32)))
    hardening = OnHard([LowResolution(side=(0.2, 0.3), p=1), Photometric(p=1)])
    plain, changed = (
        next(Loader(data, transforms, 8, 1, 0, 1, sampler=EasyHardBatches(2, 2)).stream(0, 1)).arrays for transforms in ([], [hardening])
    )
    assert changed["hard"].tolist() == [False] * 4 + [True] * 4
    differs = (plain["image"] != changed["image"]).any(axis=(1, 2, 3))
    assert differs.tolist() == changed["hard"].tolist()


def test_people_with_few_pictures_are_reported_in_one_line(caplog):
    with caplog.at_level("WARNING"):
        Loader(People([1, 2, 3, 4]), [], batch_size=6, seed=0, rank=0, world=1, sampler=IdentityBatches(2, 3))
        EasyHardBatches(1, 4).length(EasyHard(People([4, 3])))
    assert [record.getMessage() for record in caplog.records] == [
        "IdentityBatches: 2 of 4 identities have fewer than 3 pictures: some occur twice in a batch",
        "EasyHardBatches: easy samples: 1 of 2 identities have fewer than 4 pictures: some occur twice in a batch",
        "EasyHardBatches: hard samples: 1 of 2 identities have fewer than 4 pictures: some occur twice in a batch",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EasyHardBatches(2, 1), "EasyHardBatches: expected identities >= 1 and images >= 2, received 2 and 1"),
        (lambda: EasyHardBatches(2, 2).length(People([2, 2])), "EasyHardBatches: expected the data set EasyHard, received People"),
        (
            lambda: EasyHardBatches(3, 2).length(EasyHard(People([2, 2]))),
            "EasyHardBatches: easy samples: expected at least 3 identities in the data set, received 2",
        ),
        (lambda: EasyHard([1]), "EasyHard: expected a data set of identities, received list, which has no labels"),
    ],
)
def test_what_cannot_be_sampled_is_refused(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_samples_that_do_not_state_their_hardness_are_refused(rng):
    with pytest.raises(UserError) as error:
        OnHard([])({"picture": None}, rng)
    assert str(error.value) == "OnHard: expected samples that state whether they are hard: use the data set EasyHard"
