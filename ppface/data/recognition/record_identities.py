"""Identities in an MXNet RecordIO file, read in place."""

from collections.abc import Callable

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pictures.picture import Picture
from ppface.data.recognition.identities import Identities, renumber
from ppface.data.recordio.record_file import EXACT, RecordFile


@register("dataset")
class RecordIdentities(Identities):
    """The pictures of a `.rec` with its `.idx`, as faces_emore, MS1MV3, Glint360K and WebFace are published.

    Source: https://github.com/deepinsight/insightface, recognition/_datasets_; see ppface/data/recordio for the layout. The
    number of identities is taken from record 0; without it, from the labels of all records, which are then read at the start. So are they
    where those of the first and the last picture are not 0 and the last identity: labels with gaps, or from 1, are renumbered in order.

    Args:
        path: the .rec.
        class_num: number of identities; None: that of the file.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: a file that is truncated, not RecordIO, or does not match its index; an identity without a picture; later a broken
            record or picture, a label that is not one of the file's, or a picture of another size.
    """

    def __init__(self, path: str, class_num: int | None = None, size: tuple[int, int] = (112, 112), resize: bool = False):
        super().__init__(size, resize)
        self.records = RecordFile(path)
        self._labels: np.ndarray | None = None
        self._kinds: np.ndarray | None = None  # the label of each class in the file; None: 0, 1, 2, ...
        ranges = self._ranges = self.records.ranges()
        empty = np.flatnonzero((ranges[:, 0] == ranges[:, 1]) & (ranges[:, 1] < EXACT))
        if len(empty):
            raise DataError(f"{path}: expected at least one picture of each identity 0..{len(ranges) - 1}, found none of {empty[0]}")
        self.class_num = len(ranges) if class_num is None else class_num
        if len(ranges) and self.class_num != len(ranges):
            raise DataError(f"{path}: expected class_num={class_num} identities, received {len(ranges)}")
        if len(ranges) == 0 or not self._is_numbered_from_0():
            labels = self.records.labels().tolist()
            if len(ranges) in (0, len(set(labels))):  # else the wrong labels are reported as they are read
                kinds, self._labels = renumber(labels, path, class_num)
                self._kinds, self.class_num = np.array(kinds), len(kinds)

    def _is_numbered_from_0(self) -> bool:
        """Whether the labels of the first and the last picture are 0 and the last class; damaged records are left to the reading."""
        try:
            return [self.records[0][1], self.records[len(self.records) - 1][1]] == [0, self.class_num - 1]
        except DataError:
            return True

    def __len__(self) -> int:
        return len(self.records)

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        return [str(kind) for kind in (range(self.class_num) if self._kinds is None else self._kinds.tolist())]

    @property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        """(N,) int64 of all pictures, each under class_num; the first access reads a part of every record."""
        if self._labels is None:
            self._labels = self._classes(self.records.labels(), self.name)
        return self._labels

    def ends(self) -> np.ndarray:
        """(class_num, 2) first and last picture of each class; from the layout where it says, so that not every record is read."""
        if self._kinds is None and len(self._ranges):
            return self._ranges - [0, 1]
        first = np.unique(self.labels, return_index=True)[1]
        return np.stack([first, len(self) - 1 - np.unique(self.labels[::-1], return_index=True)[1]], axis=1)

    def _classes(self, labels: np.ndarray, name: Callable[[int], str]) -> np.ndarray:
        """The classes of labels in the file.

        Raises:
            DataError: a label that belongs to no class; `name` of its position is in the message.
        """
        if self._kinds is None:
            classes, wrong = labels, labels >= self.class_num
        else:
            classes = np.searchsorted(self._kinds[:-1], labels)
            wrong = self._kinds[classes] != labels
        if wrong.any():
            at = int(wrong.argmax())
            expected = f"a label under class_num={self.class_num}"
            if self._kinds is not None:
                expected = f"one of the {self.class_num} labels of the records, {self._kinds[0]} to {self._kinds[-1]}"
            raise DataError(f"{name(at)}: expected {expected}, received {labels[at]}")
        return classes

    def lists(self) -> dict[str, object]:
        """What identifies this data set; the labels follow from the file."""
        return {"records": self.records, "class_num": self.class_num, "size": self.size, "resize": self.resize}

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_labels": None}  # workers read the label with each picture

    def name(self, index: int) -> str:
        return self.records.name(index)

    def read(self, index: int) -> tuple[Picture, int]:
        data, label = self.records[index]
        return Picture.encoded(data, self.name(index)), int(self._classes(np.array([label]), lambda _: self.name(index))[0])

    def encoded(self, index: int) -> bytes:
        return self.records[index][0]
