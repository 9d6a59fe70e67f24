"""Random pairs from a data set of identities, for data without a verification protocol."""

from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import geometry


@register("pairs")
class DrawnPairs:
    """Random pairs, alternately of the same person and of different people; they depend only on the seed and the labels.

    Source: the composition of LFW's pairs, http://vis-www.cs.umass.edu/lfw/README.txt, but a person may occur in several folds.

    Args:
        dataset: pictures with `labels`.
        count: pairs, at least two per fold.
        folds: number of folds, of consecutive pairs, >= 2.
        seed: of the random pairs, >= 0.

    Shape:
        `count` pairs of at most 2 x `count` pictures

    Raises:
        DataError: fewer than two people, or no person with two pictures.
        ValueError: numbers out of range, or a data set without labels.
    """

    def __init__(self, dataset: Annotated[Any, Kind("dataset")], count: int = 6000, folds: int = 10, seed: int = 0):
        if folds < 2 or count < 2 * folds or seed < 0:
            received = f"folds={folds}, count={count}, seed={seed}"
            raise ValueError(f"DrawnPairs: expected folds of at least 2, two pairs per fold and a seed of at least 0, received {received}")
        if not hasattr(dataset, "labels"):
            raise ValueError(f"DrawnPairs: expected a data set of identities, received {type(dataset).__name__}, which has no labels")
        self.dataset, self.folds = dataset, folds
        chosen = _random_pairs(np.asarray(dataset.labels), count, np.random.default_rng(seed))
        self.pictures, places = np.unique(chosen, return_inverse=True)
        self.first, self.second = places.reshape(chosen.shape)
        self.issame = np.arange(count) % 2 == 0
        self._pipeline = Pipeline([])

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, index: int) -> Picture:
        number = int(self.pictures[index])
        arrays = self._pipeline(self.dataset[number], np.random.default_rng(0))
        return Picture.of(np.ascontiguousarray(arrays["image"].transpose(1, 2, 0)), self.dataset.name(number))

    def header(self, index: int) -> tuple[str, tuple[int, int]]:
        """Name and (height, width) of `picture(index)`, which is not decoded."""
        number = int(self.pictures[index])
        return self.dataset.name(number), geometry.size(self.dataset[number])


def _random_pairs(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(2, count) picture numbers; even columns show the same person, odd ones different people."""
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    pairable = np.flatnonzero(sizes > 1)
    if len(sizes) < 2 or len(pairable) == 0:
        raise DataError(f"DrawnPairs: expected two people, one of them with two pictures; received {len(sizes)}, {len(pairable)} with two")
    one = np.where(np.arange(count) % 2 == 0, pairable[rng.integers(0, len(pairable), count)], rng.integers(0, len(sizes), count))
    two = np.where(np.arange(count) % 2 == 0, one, (one + rng.integers(1, len(sizes), count)) % len(sizes))
    first = rng.integers(0, sizes[one])
    other = (first + rng.integers(1, np.maximum(sizes[one], 2))) % sizes[one]
    second = np.where(one == two, other, rng.integers(0, sizes[two]))
    return order[np.stack([starts[one] + first, starts[two] + second])]
