"""Base class of data sets of identities: labels, the number of classes, and pictures of one size."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk
from ppface.core.run.log import log
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import geometry


class Identities(ABC):
    """Pictures of people, each labelled with the number of its person; subclasses define where they are stored.

    Args:
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Raises:
        ValueError: a size under 1.
    """

    labels: np.ndarray  # (N,) int64 of all pictures
    class_num: int
    class_names: list[str]  # of the classes 0..class_num-1: what identifies them in the source, such as the names of folders

    def __init__(self, size: tuple[int, int], resize: bool):
        if min(size) < 1:
            raise ValueError(f"{type(self).__name__}: expected a size of at least [1, 1], received {list(size)}")
        self.size, self.resize = (size[0], size[1]), resize

    def __len__(self) -> int:
        return len(self.labels)

    def facts(self) -> dict[str, int]:
        """Facts about the data that the model depends on."""
        return {"class_num": self.class_num}

    @abstractmethod
    def name(self, index: int) -> str:
        """Name of a picture in messages; its path if it is a file."""

    def read(self, index: int) -> tuple[Picture, int]:
        """The picture in its own size, and its label."""
        return Picture.open(self.name(index)), int(self.labels[index])

    def encoded(self, index: int) -> bytes:
        """The bytes of the picture's file."""
        try:
            return Path(on_disk(self.name(index))).read_bytes()
        except OSError as error:
            raise DataError(f"{self.name(index)}: cannot read it: {error.strerror}") from None

    def __getitem__(self, index: int) -> dict:
        picture, label = self.read(index)
        sample = {"picture": picture, "label": label}
        if picture.size != self.size:
            (height, width), (want_height, want_width) = picture.size, self.size
            if not self.resize:
                advice = "align the faces with ppface align, or set resize: true"
                raise DataError(f"{picture.name}: expected {want_width}x{want_height} pixels, received {width}x{height}: {advice}")
            geometry.move(sample, geometry.view((0, 0, width, height), self.size), self.size)
        return sample


def renumber(found: list, source: str, class_num: int | None = None) -> tuple[list, np.ndarray]:
    """The classes of labels that may be any numbers or words, with one line in the log where they are not 0, 1, 2, ... already.

    Args:
        found: of all pictures, only numbers of at least 0 or only words.
        source: for messages.
        class_num: the expected number of different labels; None: any.

    Returns:
        (the label of each class, in order; the class of each picture, (N,) int64)

    Raises:
        DataError: no picture, or another number of labels.
    """
    kinds = sorted(set(found))
    if not kinds:
        raise DataError(f"{source}: expected at least one picture, found none")
    shown = ", ".join(map(str, kinds if len(kinds) < 5 else [*kinds[:3], "...", kinds[-1]]))
    if class_num not in (None, len(kinds)):
        raise DataError(f"{source}: expected class_num={class_num} identities, received {len(kinds)}, with the labels {shown}")
    if kinds[-1] != len(kinds) - 1:
        log.info(
            "%s: the labels %s are renumbered as classes 0..%d; the classes.json of a run lists the label of each class",
            source,
            shown,
            len(kinds) - 1,
        )
    number = {kind: i for i, kind in enumerate(kinds)}
    return kinds, np.fromiter(map(number.__getitem__, found), np.int64, len(found))
