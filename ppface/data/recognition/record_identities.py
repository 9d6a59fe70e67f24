"""Identities in an MXNet RecordIO file, read in place."""

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.pictures.picture import Picture
from ppface.data.recognition.identities import Identities, count_classes
from ppface.data.recordio.record_file import EXACT, RecordFile


@register("dataset")
class RecordIdentities(Identities):
    """The pictures of a `.rec` with its `.idx`, as faces_emore, MS1MV3, Glint360K and WebFace are published.

    Source: https://github.com/deepinsight/insightface, recognition/_datasets_; see ppface/data/recordio for the layout. The
    number of identities is taken from record 0; without it, from the labels of all records, which are then read at the start.

    Args:
        path: the .rec.
        class_num: number of identities; None: that of the file.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: a file that is truncated, not RecordIO, or does not match its index; an identity without a picture; later a broken
            record or picture, a label that is not below class_num, or a picture of another size.
    """

    def __init__(self, path: str, class_num: int | None = None, size: tuple[int, int] = (112, 112), resize: bool = False):
        super().__init__(size, resize)
        self.records = RecordFile(path)
        self._labels: np.ndarray | None = None
        ranges = self.records.ranges()
        if len(ranges) == 0:
            self._labels = self.records.labels()
            self.class_num = count_classes(self._labels, path, class_num)
            return
        empty = np.flatnonzero((ranges[:, 0] == ranges[:, 1]) & (ranges[:, 1] < EXACT))
        if len(empty):
            raise DataError(f"{path}: expected at least one picture of each identity 0..{len(ranges) - 1}, found none of {empty[0]}")
        self.class_num = len(ranges) if class_num is None else class_num
        if self.class_num != len(ranges):
            raise DataError(f"{path}: expected class_num={class_num} identities, received {len(ranges)}")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        """(N,) int64 of all pictures, each under class_num; the first access reads a part of every record."""
        if self._labels is None:
            labels = self.records.labels()
            invalid = np.flatnonzero(labels >= self.class_num)
            if len(invalid):
                raise self._label_error(int(invalid[0]), int(labels[invalid[0]]))
            self._labels = labels
        return self._labels

    def _label_error(self, index: int, label: int) -> DataError:
        return DataError(f"{self.name(index)}: expected a label under class_num={self.class_num}, received {label}")

    def lists(self) -> dict[str, object]:
        """What identifies this data set; the labels follow from the file."""
        return {"records": self.records, "class_num": self.class_num, "size": self.size, "resize": self.resize}

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_labels": None}  # workers read the label with each picture

    def name(self, index: int) -> str:
        return self.records.name(index)

    def read(self, index: int) -> tuple[Picture, int]:
        data, label = self.records[index]
        if label >= self.class_num:
            raise self._label_error(index, label)
        return Picture.encoded(data, self.name(index)), label

    def encoded(self, index: int) -> bytes:
        return self.records[index][0]
