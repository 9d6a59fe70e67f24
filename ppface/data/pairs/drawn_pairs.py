"""Pairs drawn from a data set of identities, for people that have no protocol of their own."""

from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture


@register("pairs")
class DrawnPairs:
    """As many pairs of one person as of two, in turn; which ones depends on the seed and the labels alone.

    Source: the make-up of LFW's pairs, http://vis-www.cs.umass.edu/lfw/README.txt, but with people that may stand in several folds.

    Args:
        dataset: pictures with `labels`.
        count: pairs, at least two a fold.
        folds: into how many folds the pairs are cut, in their order, >= 2.
        seed: of the draw, >= 0.

    Shape:
        `count` pairs of at most 2 x `count` pictures

    Raises:
        DataError: fewer than two people, or nobody with two pictures.
        ValueError: numbers out of range, or a data set without labels.
    """

    def __init__(self, dataset: Annotated[Any, Kind("dataset")], count: int = 6000, folds: int = 10, seed: int = 0):
        if folds < 2 or count < 2 * folds or seed < 0:
            received = f"folds={folds}, count={count}, seed={seed}"
            raise ValueError(f"DrawnPairs: expected folds of at least 2, two pairs a fold and a seed of at least 0, received {received}")
        if not hasattr(dataset, "labels"):
            raise ValueError(f"DrawnPairs: expected a data set of identities, received {type(dataset).__name__}, which has no labels")
        self.dataset, self.folds = dataset, folds
        chosen = _draw(np.asarray(dataset.labels), count, np.random.default_rng(seed))
        self.pictures, places = np.unique(chosen, return_inverse=True)
        self.first, self.second = places.reshape(chosen.shape)
        self.issame = np.arange(count) % 2 == 0
        self._draw = Pipeline([])

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, index: int) -> Picture:
        number = int(self.pictures[index])
        drawn = self._draw(self.dataset[number], np.random.default_rng(0))
        return Picture.of(np.ascontiguousarray(drawn["image"].transpose(1, 2, 0)), self.dataset.name(number))


def _draw(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(2, count) numbers of pictures; even columns show one person, odd ones two."""
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    able = np.flatnonzero(sizes > 1)
    if len(sizes) < 2 or len(able) == 0:
        raise DataError(f"DrawnPairs: expected two people, one of them with two pictures; received {len(sizes)}, {len(able)} with two")
    one = np.where(np.arange(count) % 2 == 0, able[rng.integers(0, len(able), count)], rng.integers(0, len(sizes), count))
    two = np.where(np.arange(count) % 2 == 0, one, (one + rng.integers(1, len(sizes), count)) % len(sizes))
    first = rng.integers(0, sizes[one])
    other = (first + rng.integers(1, np.maximum(sizes[one], 2))) % sizes[one]
    second = np.where(one == two, other, rng.integers(0, sizes[two]))
    return order[np.stack([starts[one] + first, starts[two] + second])]
