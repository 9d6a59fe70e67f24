"""A slice of a data set, for instance to hold out a part."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register


@register("dataset")
class Subset:
    """Every `every`-th sample from `start` up to `stop`, or all the others: two Subsets that differ in `rest` alone share no sample.

    Source: Python's slices.

    Args:
        dataset: the data set to slice.
        start: first sample, >= 0; a negative number counts from the end.
        stop: first sample after the slice; None: the end.
        every: step, >= 1.
        rest: take the samples that are not in the slice.

    Shape:
        samples as of `dataset`

    Raises:
        ValueError: every under 1.
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
            raise ValueError(f"Subset: expected every >= 1, received {every}")
        chosen = range(len(dataset))[start:stop:every]
        self.dataset = dataset
        self.indices = [index for index in range(len(dataset)) if index not in chosen] if rest else list(chosen)
        if not self.indices:
            received = f"start={start}, stop={stop}, every={every}, rest={rest}, which select none"
            raise DataError(f"Subset: expected at least one of {len(dataset)} samples, received {received}")

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        return self.dataset.name(self.indices[index])

    @property
    def labels(self) -> np.ndarray | None:
        """Labels of the slice's samples; None if the data set has no labels."""
        labels = getattr(self.dataset, "labels", None)
        return None if labels is None else labels[self.indices]

    @property
    def class_names(self) -> list[str] | None:
        """Those of the whole data set; None if it names none."""
        return getattr(self.dataset, "class_names", None)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Those of the whole data set; empty if it names none."""
        return tuple(getattr(self.dataset, "attribute_names", ()))

    def facts(self) -> dict[str, Any]:
        """Those of the whole data set, so that slices of it fit one model."""
        return getattr(self.dataset, "facts", dict)()

    @property
    def encoded(self) -> Callable[[int], bytes]:
        """(index) -> the bytes of the picture's file, of data sets that have it."""
        read = self.dataset.encoded
        return lambda index: read(self.indices[index])

    def __getitem__(self, index: int) -> dict:
        return self.dataset[self.indices[index]]
