"""A slice of the identities of a data set, for instance to hold out a part."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register


@register("dataset")
class IdentitySubset:
    """Every `every`-th identity from `start` up to `stop` with all of its pictures, or all the others; labels are renumbered from 0.

    Two that differ in `rest` alone share no person. Source: Python's slices; people held out as in CFP's folds, http://www.cfpw.io.

    Args:
        dataset: the data set to slice.
        start: first identity, >= 0; a negative number counts from the end.
        stop: first identity after the slice; None: the end.
        every: step, >= 1.
        rest: take the identities that are not in the slice.

    Shape:
        samples as of `dataset`, with other labels

    Raises:
        ValueError: every under 1, or a data set without identities.
        DataError: an empty slice.
    """

    def __init__(
        self,
        dataset: Annotated[Any, Kind("dataset")],
        start: int = 0,
        stop: int | None = None,
        every: int = 1,
        rest: bool = False,
    ):
        if every < 1:
            raise ValueError(f"IdentitySubset: expected every >= 1, received {every}")
        labels = getattr(dataset, "labels", None)
        if labels is None:
            raise ValueError(f"IdentitySubset: expected a data set of identities, received {type(dataset).__name__}, which has no labels")
        people = dataset.facts()["class_num"]
        chosen = np.zeros(people, bool)
        chosen[start:stop:every] = True
        chosen ^= rest
        if not chosen.any():
            received = f"start={start}, stop={stop}, every={every}, rest={rest}, which select none"
            raise DataError(f"IdentitySubset: expected at least one of {people} identities, received {received}")
        self.dataset, self.indices = dataset, np.flatnonzero(chosen[labels])
        self.labels = (np.cumsum(chosen) - 1)[labels[self.indices]]
        self.class_num = int(chosen.sum())
        names = getattr(dataset, "class_names", None) or [str(label) for label in range(people)]
        self.class_names = [name for name, taken in zip(names, chosen, strict=True) if taken]

    def __len__(self) -> int:
        return len(self.indices)

    def facts(self) -> dict[str, int]:
        """Facts about the data that the model depends on."""
        return {"class_num": self.class_num}

    def name(self, index: int) -> str:
        return self.dataset.name(int(self.indices[index]))

    @property
    def encoded(self) -> Callable[[int], bytes]:
        """(index) -> the bytes of the picture's file, of data sets that have it."""
        read = self.dataset.encoded
        return lambda index: read(int(self.indices[index]))

    def __getitem__(self, index: int) -> dict:
        return self.dataset[int(self.indices[index])] | {"label": int(self.labels[index])}
