"""IdentityInstanceBatches: batches of an identity loader and an instance loader, for a pool of classes."""

from typing import Any

import numpy as np

from ppface.core.registry import register
from ppface.data.loading.samplers import check_people, identity_batches


@register("sampler")
class IdentityInstanceBatches:
    """Dual data loaders of Faster Face Classification, Wang et al. 2022, https://arxiv.org/abs/2105.10375, section 3.1, for a
    DynamicClassPool head.

    A batch is two halves x and y. The identity loader puts one picture of each of P different identities into x, and another one of each
    into y; the instance loader puts I pictures of any identities, half of them into each. An epoch takes every picture once as an instance
    (without instances: every identity once), as many as fill whole batches; the identities begin a new random round whenever fewer than P
    are left. Of an identity with a single picture x and y get the same one.

    The processes of a run get whole pairs if their number divides half of the batch.

    Args:
        identities: P, >= 1.
        instances: I, even, >= 0; the authors use P.

    Shape:
        order -> indices in groups of 2 P + I, each P, I / 2, P, I / 2 of the four parts

    Raises:
        ValueError: an argument out of its range, fewer than P identities or I pictures, or a data set without identities.
    """

    whole = True  # a batch is one group: the halves of two groups in one batch would be mixed

    def __init__(self, identities: int, instances: int):
        if identities < 1 or instances < 0 or instances % 2:
            expected = "identities of at least 1 and an even number of instances of at least 0"
            raise ValueError(f"IdentityInstanceBatches: expected {expected}, received {identities} and {instances}")
        self.identities, self.instances, self.group = identities, instances, 2 * identities + instances

    def length(self, dataset: Any) -> int:
        """Samples per epoch."""
        check_people(getattr(dataset, "labels", None), self.identities, 2, "IdentityInstanceBatches", type(dataset).__name__)
        if len(dataset.labels) < self.instances:
            pictures = f"{self.instances} pictures in the data set, received {len(dataset.labels)}"
            raise ValueError(f"IdentityInstanceBatches: expected at least {pictures}")
        return self._batches(dataset) * self.group

    def _batches(self, dataset: Any) -> int:
        if self.instances:
            return len(dataset.labels) // self.instances
        return int(np.count_nonzero(np.bincount(dataset.labels))) // self.identities

    def order(self, dataset: Any, seed: int, epoch: int) -> np.ndarray:
        """Indices of the samples of one epoch."""
        batches, rng = self._batches(dataset), np.random.default_rng([seed, epoch])
        pairs = identity_batches(dataset.labels, self.identities, 2, batches, rng)
        instances = rng.permutation(len(dataset.labels))[: batches * self.instances].reshape(batches, 2, self.instances // 2)
        return np.concatenate([pairs, instances], axis=2).reshape(-1)
