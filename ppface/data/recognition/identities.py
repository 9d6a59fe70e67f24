"""Base class of data sets of identities: labels, the number of classes, and pictures of one size."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk
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
                advice = "align the faces with tools/align_faces.py, or set resize: true"
                raise DataError(f"{picture.name}: expected {want_width}x{want_height} pixels, received {width}x{height}: {advice}")
            geometry.move(sample, geometry.view((0, 0, width, height), self.size), self.size)
        return sample


def count_classes(labels: np.ndarray, source: str, class_num: int | None = None) -> int:
    """The number of identities, after checking that each has a picture.

    Args:
        labels: (N,) of all pictures, >= 0.
        source: for messages.
        class_num: the expected number; None: the largest label + 1.

    Raises:
        DataError: no picture, a label beyond class_num, or an identity without a picture.
    """
    seen = np.unique(labels)
    if len(seen) == 0:
        raise DataError(f"{source}: expected at least one picture, found none")
    count = int(seen[-1]) + 1 if class_num is None else class_num
    if seen[-1] >= count:
        raise DataError(f"{source}: expected labels under class_num={count}, received {seen[-1]}")
    if len(seen) < count:
        gaps = np.flatnonzero(seen != np.arange(len(seen)))
        missing = gaps[0] if len(gaps) else len(seen)
        raise DataError(f"{source}: expected at least one picture of each identity 0..{count - 1}, found none of {missing}")
    return count
