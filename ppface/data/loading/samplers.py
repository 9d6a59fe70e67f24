"""Samplers: the order of the samples of an epoch, a function of (seed, epoch) only, so that every process computes the same."""

from typing import Any

import numpy as np

from ppface.core.registry import register
from ppface.core.run.log import log


@register("sampler")
class Shuffled:
    """Every sample once an epoch, in random order: `numpy.random.default_rng([seed, epoch]).permutation`.

    Source: sampling without replacement, as in https://numpy.org/doc/stable/reference/random/generated/numpy.random.Generator.permutation.html.

    Shape:
        order -> (N,) indices of the N samples
    """

    group = 1  # samples that belong together

    def length(self, dataset: Any) -> int:
        """Samples per epoch."""
        return len(dataset)

    def order(self, dataset: Any, seed: int, epoch: int) -> np.ndarray:
        """Indices of the samples of one epoch."""
        return np.random.default_rng([seed, epoch]).permutation(np.arange(len(dataset)))


@register("sampler")
class IdentityBatches:
    """Batches of P different identities with K pictures of each, for losses that compare pictures: Hermans et al. 2017,
    https://arxiv.org/abs/1703.07737, section 2.

    A round takes all identities in random order, P per batch, and drops the last ones if fewer than P remain. Over the rounds of an epoch
    the pictures of an identity are taken in random order without repeats, then in the same order again; with fewer than K pictures, some
    occur twice in a batch. An epoch has as many pictures as the data set, rounded down to whole batches. A batch contains the first
    pictures of all P identities, then the second ones, so that processes whose number divides P get whole identities.

    Args:
        identities: P, >= 1.
        images: K, >= 1.

    Shape:
        order -> (about N,) indices, in groups of P K

    Raises:
        ValueError: P or K under 1, fewer than P identities, or a data set without identities.
    """

    def __init__(self, identities: int, images: int):
        if identities < 1 or images < 1:
            raise ValueError(f"IdentityBatches: expected identities and images of at least 1, received {identities} and {images}")
        self.identities, self.images, self.group = identities, images, identities * images

    def length(self, dataset: Any) -> int:
        """Samples per epoch."""
        check_people(getattr(dataset, "labels", None), self.identities, self.images, "IdentityBatches", type(dataset).__name__)
        return self._batches(dataset) * self.group

    def order(self, dataset: Any, seed: int, epoch: int) -> np.ndarray:
        """Indices of the samples of one epoch."""
        rng = np.random.default_rng([seed, epoch])
        return identity_batches(dataset.labels, self.identities, self.images, self._batches(dataset), rng).reshape(-1)

    def _batches(self, dataset: Any) -> int:
        return max(1, len(dataset.labels) // self.group)


def check_people(labels: np.ndarray | None, identities: int, images: int, who: str, received: str = "") -> None:
    """Reports people with fewer pictures than a batch needs of them.

    Args:
        labels: of all samples, or None.
        identities: of a batch.
        images: of each.
        who: the sampler, for messages.
        received: the type of the data set, for messages.

    Raises:
        ValueError: no labels, or fewer people than `identities`.
    """
    if labels is None:
        raise ValueError(f"{who}: expected a data set of identities, received {received}, which has no labels")
    counts = np.bincount(labels)
    people = np.count_nonzero(counts)
    if people < identities:
        raise ValueError(f"{who}: expected at least {identities} identities in the data set, received {people}")
    if few := np.count_nonzero((counts > 0) & (counts < images)):
        log.warning("%s: %d of %d identities have fewer than %d pictures: some occur twice in a batch", who, few, people, images)


def identity_batches(labels: np.ndarray, identities: int, images: int, batches: int, rng: np.random.Generator) -> np.ndarray:
    """The rows of so many batches of IdentityBatches.

    Shape:
        labels (N,) -> (batches, images, identities)
    """
    shuffled = rng.permutation(len(labels))
    by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    first = np.cumsum(counts) - counts
    a_round = len(counts) // identities  # batches
    rounds = -(-batches // a_round)
    people = np.concatenate([rng.permutation(len(counts))[: a_round * identities] for _ in range(rounds)])
    people = people[: batches * identities].reshape(batches, 1, identities)
    turn = (np.arange(batches) // a_round)[:, None, None]
    picture = turn * images + np.arange(images)[:, None]
    return by_person[first[people] + picture % counts[people]]
