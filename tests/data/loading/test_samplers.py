"""Samplers: what an epoch takes is a function of (seed, epoch), whoever asks; P x K batches hold P people, K pictures each."""

import subprocess
import sys

import numpy as np
import pytest

from ppface.data import IdentityBatches, IdentityInstanceBatches, Loader, Shuffled
from tests.data.loading.people import People

COUNTS = [1, 2, 3, 9, 4, 4, 30]


def test_shuffled_is_what_the_loader_did_before(rng):
    data = People(COUNTS)
    order = np.random.default_rng([3, 7]).permutation(np.arange(53))
    assert Shuffled().order(data, 3, 7).tolist() == order.tolist()
    plain, named = (Loader(data, [], batch_size=5, seed=3, rank=0, world=1, **more) for more in ({}, {"sampler": Shuffled()}))
    assert plain.indices(70) == named.indices(70) == (7, order[:5].tolist())


@pytest.mark.parametrize(("people", "images"), [(3, 2), (7, 4), (2, 5)])
def test_every_batch_holds_p_people_with_k_pictures(people, images):
    data, sampler = People(COUNTS), IdentityBatches(people, images)
    seen = []
    for epoch in range(4):
        order = sampler.order(data, 3, epoch)
        assert len(order) == sampler.length(data) == 53 // (people * images) * people * images
        for batch in order.reshape(-1, images, people):
            labels = data.labels[batch]
            assert (labels == labels[0]).all() and len(set(labels[0])) == people
            for person, taken in zip(labels[0], batch.T, strict=True):
                assert len(set(taken)) == min(images, COUNTS[person])
        seen.append(order.tolist())
    assert seen[0] != seen[1] and sampler.order(data, 3, 0).tolist() == seen[0] != sampler.order(data, 4, 0).tolist()


def test_pictures_come_again_only_when_a_person_has_no_more():
    data, sampler = People([8, 8, 8, 8]), IdentityBatches(2, 2)
    taken = sampler.order(data, 0, 0)
    assert sorted(taken) == list(range(32))  # as many pictures a person: the epoch is a permutation


def test_processes_share_whole_people(rng):
    data, sampler = People(COUNTS), IdentityBatches(4, 3)
    whole = Loader(data, [], batch_size=12, seed=1, rank=0, world=1, sampler=sampler)
    assert len(whole) == 4
    for number in (0, 3, 4, 9):
        parts = [Loader(data, [], batch_size=12, seed=1, rank=rank, world=2, sampler=sampler).indices(number)[1] for rank in (0, 1)]
        assert sorted(parts[0] + parts[1]) == sorted(whole.indices(number)[1])
        people = [data.labels[part] for part in parts]
        assert not set(people[0]) & set(people[1]) and all(np.bincount(labels).max() == 3 for labels in people)


def test_another_process_gives_the_same_order():
    code = f"""
import numpy as np
from ppface.data import IdentityBatches
class Labels: labels = np.repeat(np.arange(7), {COUNTS})
print(IdentityBatches(3, 2).order(Labels, 5, 6).tolist())
"""
    told = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert told[0] == told[1] != ""


def test_batches_through_the_loader_carry_their_labels():
    loader = Loader(People(COUNTS), [], batch_size=12, seed=1, rank=0, world=1, sampler=IdentityBatches(3, 2))
    for batch in loader.stream(0, 5):
        for half in batch.arrays["label"].reshape(2, 6):
            assert sorted(np.unique(half, return_counts=True)[1]) == [2, 2, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IdentityBatches(0, 2), "IdentityBatches: expected identities and images of at least 1, received 0 and 2"),
        (
            lambda: IdentityBatches(8, 2).length(People(COUNTS)),
            "IdentityBatches: expected at least 8 identities in the data set, received 7",
        ),
        (
            lambda: IdentityBatches(8, 2).length([1]),
            "IdentityBatches: expected a data set of identities, received list, which has no labels",
        ),
        (
            lambda: Loader(People(COUNTS), [], batch_size=8, seed=1, rank=0, world=1, sampler=IdentityBatches(3, 2)),
            "Loader: expected a batch_size that is a multiple of the sampler's 6 samples, received 8",
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused(make, message):
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == message


def test_workers_read_records_as_the_training_process_does(tmp_path):
    from ppface.data import RecordIdentities, SyntheticIdentities
    from ppface.data.recognition.identity_convert import convert

    convert(SyntheticIdentities(4, 3, size=(32, 32)), tmp_path / "x.rec")
    data, sampler = RecordIdentities(str(tmp_path / "x.rec"), size=(32, 32)), IdentityBatches(2, 2)
    here, there = (
        list(Loader(data, [], batch_size=4, seed=1, rank=0, world=1, sampler=sampler, workers=workers).stream(0, 4)) for workers in (0, 1)
    )
    for one, two in zip(here, there, strict=True):
        assert one.names == two.names and one.arrays["label"].tolist() == two.arrays["label"].tolist()
        np.testing.assert_array_equal(one.arrays["image"], two.arrays["image"])


@pytest.mark.parametrize(("people", "instances"), [(3, 4), (7, 2), (2, 0)])
def test_both_halves_hold_the_same_people_and_their_share_of_instances(people, instances):
    data, sampler = People(COUNTS), IdentityInstanceBatches(people, instances)
    for epoch in range(3):
        order = sampler.order(data, 3, epoch)
        batches = 53 // instances if instances else 7 // people
        assert len(order) == sampler.length(data) == batches * (2 * people + instances)
        halves = order.reshape(batches, 2, people + instances // 2)
        for first, second in halves[:, :, :people]:
            labels = data.labels[first]
            assert (labels == data.labels[second]).all() and len(set(labels)) == people
            assert ((first != second) | (np.array(COUNTS)[labels] == 1)).all()  # a single picture is paired with itself
        taken = halves[:, :, people:].reshape(-1)
        assert len(set(taken)) == len(taken) == batches * instances
    assert sampler.order(data, 3, 2).tolist() == order.tolist() != sampler.order(data, 4, 2).tolist()


def test_every_process_gets_its_share_of_each_half():
    data, sampler = People(COUNTS), IdentityInstanceBatches(4, 4)
    parts = [Loader(data, [], batch_size=12, seed=1, rank=rank, world=2, sampler=sampler).indices(0)[1] for rank in (0, 1)]
    for part in parts:
        assert len(part) == 6 and (data.labels[part[:2]] == data.labels[part[3:5]]).all()


def test_mistakes_of_identities_and_instances_are_reported():
    with pytest.raises(ValueError) as caught:
        IdentityInstanceBatches(3, 5)
    expected = "expected identities of at least 1 and an even number of instances of at least 0, received 3 and 5"
    assert str(caught.value) == f"IdentityInstanceBatches: {expected}"
    with pytest.raises(ValueError, match=r"^IdentityInstanceBatches: expected at least 8 identities in the data set, received 7$"):
        IdentityInstanceBatches(8, 2).length(People(COUNTS))
    with pytest.raises(ValueError, match=r"^IdentityInstanceBatches: expected at least 60 pictures in the data set, received 53$"):
        IdentityInstanceBatches(2, 60).length(People(COUNTS))
    with pytest.raises(ValueError, match=r"^Loader: expected a batch_size of 8, the sampler's samples, received 16$"):
        Loader(People(COUNTS), [], batch_size=16, seed=1, rank=0, world=1, sampler=IdentityInstanceBatches(2, 4))
