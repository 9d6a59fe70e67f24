"""Triplets that the model selects: by hand which ones are allowed, how they lie in a batch, when the model is asked, and what is refused."""

import numpy as np
import pytest

from ppface.data import Loader, OfflineTriplets
from tests.data.loading.people import People

COUNTS = [4, 1, 3, 5, 2, 4]


@pytest.fixture
def space(rng):
    return rng.normal(size=(sum(COUNTS), 3))


def allowed(space, labels, margin, selection):
    """{(anchor, positive) with the smaller number first: every negative that may be chosen for the pair in this order or the other one}."""
    unit = [x / np.linalg.norm(x) for x in space]
    found = {}
    for a in range(len(labels)):
        for p in range(len(labels)):
            if a == p or labels[a] != labels[p]:
                continue
            for n in range(len(labels)):
                gap = np.sum((unit[a] - unit[n]) ** 2) - np.sum((unit[a] - unit[p]) ** 2)
                if labels[n] != labels[a] and gap < margin and (selection == "vgg" or gap > 0):
                    found.setdefault((a, p), set()).add(n)
    return found


@pytest.mark.parametrize("selection", ["vgg", "semi_hard"])
def test_each_pair_gets_one_of_its_negatives_at_random(selection, space):
    data = People(COUNTS)
    sampler = OfflineTriplets(identities=5, images=9, triplets=20, batches=1, margin=0.3, selection=selection)
    may = allowed(space, data.labels, 0.3, selection)
    seen: dict = {}
    for epoch in range(60):
        order = sampler.order(data, 3, epoch, lambda indices: 7 * space[indices])
        assert len(order) == sampler.length(data) == 60
        triplets = order.reshape(3, 20).T.tolist()
        for anchor, positive, negative in triplets:
            assert negative in may[anchor, positive]
            seen.setdefault((anchor, positive), set()).add(negative)
        pairs = [frozenset(pair[:2]) for pair in triplets]
        assert len(set(pairs)) >= min(20, len({frozenset(pair) for pair in may}) // 2)
    alone = np.flatnonzero(data.labels == 1)[0]  # a person with one picture is not embedded
    often = max(may, key=lambda pair: len(may[pair] - {alone}))
    assert len(seen[often]) > 0.6 * len(may[often] - {alone})
    assert sampler.order(data, 3, 0, lambda i: space[i]).tolist() == sampler.order(data, 3, 0, lambda i: space[i]).tolist()


def test_few_pictures_of_few_people_are_embedded_at_once(space):
    data, asked = People(COUNTS), []
    OfflineTriplets(3, 2, triplets=1, batches=4, margin=4).order(data, 0, 0, lambda indices: asked.append(indices) or space[indices])
    assert len(asked) == 1 and sorted(np.unique(data.labels[asked[0]], return_counts=True)[1]) == [2, 2, 2] and len(set(asked[0])) == 6


def test_few_triplets_come_again_and_many_are_left_out(space):
    data = People([2, 2])
    few = OfflineTriplets(2, 2, triplets=3, batches=2, margin=4).order(data, 0, 0, lambda i: space[i]).reshape(2, 3, 3)
    assert {tuple(sorted((a, p))) for batch in few for a, p, _ in batch.T} == {tuple(np.flatnonzero(data.labels == k)) for k in (0, 1)}
    many = OfflineTriplets(5, 9, triplets=2, batches=2, margin=4).order(People(COUNTS), 0, 0, lambda i: space[i])
    assert len({tuple(triplet) for batch in many.reshape(2, 3, 2) for triplet in batch.T}) == 4


def test_without_triplets_within_the_margin_random_ones_are_trained(caplog):
    data, sampler = People([3, 3]), OfflineTriplets(2, 3, triplets=2, batches=3)
    with caplog.at_level("WARNING"):
        for epoch in range(2):
            order = sampler.order(data, 0, epoch, lambda indices: np.eye(2)[data.labels[indices]])
            anchor, positive, negative = data.labels[order].reshape(3, 3, 2).transpose(1, 0, 2).reshape(3, -1)
            assert (anchor == positive).all() and (anchor != negative).all()
    message = "OfflineTriplets: no triplet within the margin among 6 pictures: random ones are trained"
    assert [record.getMessage() for record in caplog.records] == [message]


@pytest.mark.parametrize("world", [1, 2])
def test_the_model_is_asked_at_the_beginning_of_each_epoch(space, world):
    data, asked = People(COUNTS), []

    def predict(arrays):
        asked.append(len(read))
        assert len(arrays["image"]) <= 12 // world  # no more at once than a batch
        return {"embedding": space[arrays["image"][:, 0, 0, 0]]}

    sampler = OfflineTriplets(5, 4, triplets=4, batches=3)
    loader = Loader(data, [], batch_size=12, seed=1, rank=0, world=world, sampler=sampler)
    loader.follow(predict, lambda work: work())
    read: list = []
    for batch in loader.stream(1, 8):
        label = batch.arrays["label"].reshape(3, -1)
        assert (label[0] == label[1]).all() and (label[0] != label[2]).all()
        read.append(batch)
    assert sorted(set(asked)) == [0, 2, 5]  # epochs of three batches, entered at the second one


def test_a_selection_that_does_not_fit_the_data_is_made_anew(space, caplog):
    loader = Loader(People(COUNTS), [], batch_size=6, seed=1, rank=0, world=1, sampler=OfflineTriplets(2, 2, triplets=2, batches=1))
    loader.follow(lambda arrays: {"embedding": space[arrays["image"][:, 0, 0, 0]]}, lambda work: work())
    with caplog.at_level("WARNING"):
        for order in ([0, 1, 2], [0, 1, 2, 3, 4, 19]):
            loader.restore({"epoch": 0, "order": order})
            assert loader.state() is None
    words = "the checkpoint's selection of samples does not fit the data or the sampler: they are selected anew"
    assert [record.getMessage() for record in caplog.records] == [words] * 2
    next(loader.stream(0, 1))
    assert loader.state()["epoch"] == 0 and len(loader.state()["order"]) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: OfflineTriplets(margin=0),
            "OfflineTriplets: expected identities and images of at least 2, triplets and batches of at least 1 and a margin above 0, "
            "received 45, 40, 30, 100 and 0",
        ),
        (
            lambda: OfflineTriplets(6, 2).length(People(COUNTS)),
            "OfflineTriplets: expected at least 6 identities with two pictures, received 5",
        ),
        (
            lambda: OfflineTriplets(6, 2).length([1]),
            "OfflineTriplets: expected a data set of identities, received list, which has no labels",
        ),
    ],
)
def test_what_cannot_be_selected_is_refused(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
