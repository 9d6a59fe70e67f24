"""Pictures of people in two halves, easy and hard ones, for losses that compare the two."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading.label_files import lines, refuse


@register("dataset")
class EasyHard:
    """A data set of people whose samples state whether they are hard: those of a list, or a second copy of each.

    Without a list every picture occurs twice: as it is, and as a hard sample, which the transform OnHard degrades. Source: the easy and
    hard domains of DDL, Huang et al. 2020, https://arxiv.org/abs/2002.03662.

    Args:
        dataset: of people.
        hard: a text file with the hard pictures, one a line: their names, or ends of them such as `person/picture.jpg`.

    Shape:
        samples as of `dataset`, with hard (); without a list twice as many, the hard ones last

    Raises:
        ValueError: a data set without identities.
        DataError: a line that is not the name of one picture, or a list of all pictures.
    """

    def __init__(self, dataset: Annotated[Any, Kind("dataset")], hard: str | None = None):
        if getattr(dataset, "labels", None) is None:
            raise ValueError(f"EasyHard: expected a data set of identities, received {type(dataset).__name__}, which has no labels")
        self.dataset, count = dataset, len(dataset)
        self.hard = np.arange(2 * count) >= count if hard is None else _listed(dataset, Path(hard))
        self.labels = np.resize(dataset.labels, len(self.hard))

    def __len__(self) -> int:
        return len(self.hard)

    @property
    def class_names(self) -> list[str] | None:
        """Those of the data set; None if it names none."""
        return getattr(self.dataset, "class_names", None)

    def facts(self) -> dict[str, Any]:
        """Facts about the data that the model depends on."""
        return self.dataset.facts()

    def name(self, index: int) -> str:
        return self.dataset.name(index % len(self.dataset))

    @property
    def encoded(self) -> Callable[[int], bytes]:
        """(index) -> the bytes of the picture's file, of data sets that have it."""
        read = self.dataset.encoded
        return lambda index: read(index % len(self.dataset))

    def __getitem__(self, index: int) -> dict:
        return self.dataset[index % len(self.dataset)] | {"hard": bool(self.hard[index])}


def _listed(dataset: Any, file: Path) -> np.ndarray:
    """(N,) bool, whether the file lists a picture."""
    wanted = [
        (number, line.strip())
        for number, line in enumerate(lines(file, "EasyHard", "list the hard pictures in it, or leave it out"), 1)
        if line.strip()
    ]
    names = [dataset.name(index).split("/") for index in range(len(dataset))]
    ends: dict[str, list[int]] = {}
    for depth in {line.count("/") + 1 for _, line in wanted}:
        for index, parts in enumerate(names):
            if len(parts) >= depth:
                ends.setdefault("/".join(parts[-depth:]), []).append(index)
    hard, mistakes = np.zeros(len(dataset), bool), []
    for number, line in wanted:
        found = ends.get(line, [])
        if len(found) == 1:
            hard[found[0]] = True
        else:
            reason = f"expected the name of one picture, received {line}, with which {len(found)} names end"
            mistakes.append(f"{file}:{number}: {reason}{': write more of its path' if found else ''}")
    refuse(mistakes)
    if hard.all():
        raise DataError(f"{file}: expected a list of some pictures, received all {len(hard)}: none is left as an easy one")
    return hard
