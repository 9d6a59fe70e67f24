"""Triplets that are selected before they are trained, by the embeddings of the model."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ppface.core.registry import register
from ppface.core.run.log import log


@register("sampler")
class OfflineTriplets:
    """Anchors, positives and negatives selected by the present model at the beginning of each epoch, for TripletLoss with `mining: given`:
    FaceNet, Schroff et al. 2015, https://arxiv.org/abs/1503.03832, section 3.2, as in https://github.com/davidsandberg/facenet.

    P people with up to K pictures each are drawn and embedded, with the transforms of the training. Every pair (a, p) of pictures of one
    person gets one random n of all pictures of the other people with

        "vgg": |a - n|^2 - |a - p|^2 < margin        "semi_hard": 0 < |a - n|^2 - |a - p|^2 < margin

    between unit embeddings, if there is one. An epoch is `batches` batches of T such triplets in random order: of more triplets some are
    left out, fewer come again. Without any, pairs with random pictures of other people are trained, and a warning is logged once. Memory
    holds the P K embeddings and the distances of one person's pairs to them. With several processes the first one embeds and selects.
    A batch contains T anchors, their positives, then their negatives; T must be a multiple of the processes.

    Args:
        identities: P, >= 2.
        images: K, >= 2.
        triplets: T, of a batch, >= 1; the batch size is 3 T.
        batches: of an epoch, >= 1.
        margin: see above, > 0.
        selection: see above.

    Shape:
        order -> (3 T batches,) indices, in groups of 3 T

    Raises:
        ValueError: an argument out of its range, or a data set with fewer than P people who have two pictures.
    """

    embeds = True

    def __init__(
        self,
        identities: int = 45,
        images: int = 40,
        triplets: int = 30,
        batches: int = 100,
        margin: float = 0.2,
        selection: Literal["vgg", "semi_hard"] = "vgg",
    ):
        if identities < 2 or images < 2 or triplets < 1 or batches < 1 or margin <= 0:
            expected = "identities and images of at least 2, triplets and batches of at least 1 and a margin above 0"
            received = f"{identities}, {images}, {triplets}, {batches} and {margin}"
            raise ValueError(f"OfflineTriplets: expected {expected}, received {received}")
        self.identities, self.images, self.triplets, self.batches = identities, images, triplets, batches
        self.margin, self.selection, self.group, self._warned = margin, selection, 3 * triplets, False

    def length(self, dataset: Any) -> int:
        """Samples per epoch."""
        labels = getattr(dataset, "labels", None)
        if labels is None:
            raise ValueError(f"OfflineTriplets: expected a data set of identities, received {type(dataset).__name__}, which has no labels")
        if (people := np.count_nonzero(np.bincount(labels) > 1)) < self.identities:
            raise ValueError(f"OfflineTriplets: expected at least {self.identities} identities with two pictures, received {people}")
        return self.group * self.batches

    def order(self, dataset: Any, seed: int, epoch: int, embed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Indices of the samples of one epoch.

        Args:
            embed: indices (n,) -> embeddings (n, D) of these samples.
        """
        rng = np.random.default_rng([seed, epoch])
        pool = self._pool(dataset.labels, rng)
        embedding = np.asarray(embed(pool), np.float32)
        unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
        found = self._select(unit, dataset.labels[pool], self.margin, rng)
        if not len(found):
            if not self._warned:
                self._warned = True
                log.warning("OfflineTriplets: no triplet within the margin among %d pictures: random ones are trained", len(pool))
            found = self._select(unit, dataset.labels[pool], np.inf, rng)
        count = self.batches * self.triplets
        chosen = np.resize(rng.permutation(found), (count, 3))
        return pool[chosen.reshape(self.batches, self.triplets, 3).transpose(0, 2, 1)].reshape(-1)

    def _pool(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Indices of up to K pictures of each of P people, person by person."""
        people = rng.permutation(np.flatnonzero(np.bincount(labels) > 1))[: self.identities]
        shuffled = rng.permutation(len(labels))
        by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
        first, end = (np.searchsorted(labels[by_person], people, side=side) for side in ("left", "right"))
        return np.concatenate([by_person[start : min(start + self.images, stop)] for start, stop in zip(first, end, strict=True)])

    def _select(self, unit: np.ndarray, labels: np.ndarray, margin: float, rng: np.random.Generator) -> np.ndarray:
        """(triplets, 3) rows of the pool: anchor, positive, negative. An infinite margin: any negative."""
        found = [np.zeros((0, 3), np.int64)]
        for label in dict.fromkeys(labels.tolist()):
            own = np.flatnonzero(labels == label)
            distance = 2 - 2 * unit[own] @ unit.T  # squared
            anchor, positive = np.triu_indices(len(own), 1)
            gap = distance[anchor] - distance[anchor, own[positive]][:, None]
            fits = (gap < margin) & (labels != label)
            if self.selection == "semi_hard" and np.isfinite(margin):
                fits &= gap > 0
            count = fits.sum(axis=1)
            some = np.flatnonzero(count)
            which = rng.integers(count[some])
            negative = (np.cumsum(fits[some], axis=1) > which[:, None]).argmax(axis=1)
            found.append(np.stack([own[anchor[some]], own[positive[some]], negative], axis=1))
        return np.concatenate(found)
