"""Samplers: the order of the samples of an epoch, a function of (seed, epoch) only, so that every process computes the same."""

from typing import Any

import numpy as np

from ppface.core.registry import register


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
        labels = getattr(dataset, "labels", None)
        if labels is None:
            raise ValueError(f"IdentityBatches: expected a data set of identities, received {type(dataset).__name__}, which has no labels")
        people = np.count_nonzero(np.bincount(labels))
        if people < self.identities:
            raise ValueError(f"IdentityBatches: expected at least {self.identities} identities in the data set, received {people}")
        return max(1, len(labels) // self.group) * self.group

    def order(self, dataset: Any, seed: int, epoch: int) -> np.ndarray:
        """Indices of the samples of one epoch."""
        batches = self.length(dataset) // self.group
        rng = np.random.default_rng([seed, epoch])
        shuffled = rng.permutation(len(dataset.labels))
        by_person = shuffled[np.argsort(dataset.labels[shuffled], kind="stable")]
        counts = np.bincount(dataset.labels)
        counts = counts[counts > 0]
        first = np.cumsum(counts) - counts
        a_round = len(counts) // self.identities  # batches
        rounds = -(-batches // a_round)
        people = np.concatenate([rng.permutation(len(counts))[: a_round * self.identities] for _ in range(rounds)])
        people = people[: batches * self.identities].reshape(batches, 1, self.identities)
        turn = (np.arange(batches) // a_round)[:, None, None]
        picture = turn * self.images + np.arange(self.images)[:, None]
        return by_person[first[people] + picture % counts[people]].reshape(-1)
