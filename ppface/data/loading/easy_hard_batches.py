"""Batches of which one half is easy and the other one hard."""

from typing import Any

import numpy as np

from ppface.core.registry import register
from ppface.data.loading.samplers import check_people, identity_batches


@register("sampler")
class EasyHardBatches:
    """Batches with two halves, P identities with K easy pictures each, then P identities with K hard ones, for losses that compare the
    distributions of both, such as DistributionDistillation: Huang et al. 2020, https://arxiv.org/abs/2002.03662.

    Each half is drawn as by IdentityBatches, for itself: the people of the two halves are not the same. An epoch has as many batches as the
    half with more pictures fills; the other half's pictures come again. Processes whose number divides P get whole identities.

    Args:
        identities: P, >= 1.
        images: K, >= 2: pairs of one person are compared.

    Shape:
        order -> indices, in groups of 2 P K

    Raises:
        ValueError: P under 1 or K under 2, fewer than P identities in a half, or a data set that does not state which samples are hard.
    """

    def __init__(self, identities: int, images: int = 2):
        if identities < 1 or images < 2:
            raise ValueError(f"EasyHardBatches: expected identities >= 1 and images >= 2, received {identities} and {images}")
        self.identities, self.images, self.group = identities, images, 2 * identities * images

    def length(self, dataset: Any) -> int:
        """Samples per epoch."""
        if getattr(dataset, "hard", None) is None:
            raise ValueError(f"EasyHardBatches: expected the data set EasyHard, received {type(dataset).__name__}")
        for half, chosen in (("easy", ~dataset.hard), ("hard", dataset.hard)):
            check_people(dataset.labels[chosen], self.identities, self.images, f"EasyHardBatches: {half} samples")
        return self._batches(dataset) * self.group

    def _batches(self, dataset: Any) -> int:
        most = int(max(dataset.hard.sum(), (~dataset.hard).sum()))
        return max(1, 2 * most // self.group)

    def order(self, dataset: Any, seed: int, epoch: int) -> np.ndarray:
        """Indices of the samples of one epoch."""
        batches = self._batches(dataset)
        halves = []
        for half in (0, 1):
            rows, rng = np.flatnonzero(dataset.hard == half), np.random.default_rng([seed, epoch, half])
            halves.append(rows[identity_batches(dataset.labels[rows], self.identities, self.images, batches, rng)])
        return np.concatenate([half.reshape(batches, -1) for half in halves], axis=1).reshape(-1)
