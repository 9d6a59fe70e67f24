"""People out of an MXNet RecordIO file, read in place."""

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
    number of identities comes from record 0; without one, from the labels of all records, which are then looked up at the start.

    Args:
        path: the .rec.
        class_num: how many identities there are; None: as the file says.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: a file that is cut, no RecordIO, or that another index belongs to; an identity without a picture; later a broken
            record or picture, a label that is not under class_num, or a picture of another size.
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
            raise DataError(f"{path}: no picture of identity {empty[0]}; expected at least one of each of 0..{len(ranges) - 1}")
        self.class_num = len(ranges) if class_num is None else class_num
        if self.class_num != len(ranges):
            raise DataError(f"{path}: expected class_num={class_num} identities, received {len(ranges)}")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        """(N,) int64 of all pictures, each under class_num; the first look reads a part of every record."""
        if self._labels is None:
            labels = self.records.labels()
            beyond = np.flatnonzero(labels >= self.class_num)
            if len(beyond):
                raise self._beyond(int(beyond[0]), int(labels[beyond[0]]))
            self._labels = labels
        return self._labels

    def _beyond(self, index: int, label: int) -> DataError:
        return DataError(f"{self.name(index)}: expected a label under class_num={self.class_num}, received {label}")

    def lists(self) -> dict[str, object]:
        """What tells this data set from another; the labels follow from the file."""
        return {"records": self.records, "class_num": self.class_num, "size": self.size, "resize": self.resize}

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_labels": None}  # workers read pictures, whose labels stand beside them

    def name(self, index: int) -> str:
        return self.records.name(index)

    def read(self, index: int) -> tuple[Picture, int]:
        data, label = self.records[index]
        if label >= self.class_num:
            raise self._beyond(index, label)
        return Picture.encoded(data, self.name(index)), label

    def encoded(self, index: int) -> bytes:
        return self.records[index][0]
