"""MXNet RecordIO files of labelled pictures (faces_emore, MS1MV3, Glint360K, WebFace), read in place and written, without mxnet."""

import logging
import operator
import os
import struct
import weakref
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.data.recordio.record_index import HEAD, LENGTH, MAGIC, read_index, scan

HEADER = struct.Struct("<IfQQ")  # flag: how many float32 labels follow, 0: `label` holds it; label; id; second id
WHOLE, FIRST, MIDDLE, LAST = range(4)  # continuation flags: a record is cut where its bytes hold the magic number
EXACT = 1 << 24  # from here on float32, which the layout counts in, leaves out numbers
CHUNK = 1 << 18  # records whose labels are looked up at once
log = logging.getLogger("ppface")


class RecordFile:
    """The pictures of a `.rec` with its `.idx` beside it; without an .idx the whole .rec is gone through once.

    Source: https://mxnet.apache.org/versions/1.9.1/api/faq/recordio and https://github.com/dmlc/dmlc-core, recordio.h. A record is
    the magic number, a word of 3 bits (whole, first, middle, last part) and 29 (length), its bytes, and zeros to a multiple of 4.
    The layout of https://github.com/deepinsight/insightface: record 0, which holds no picture, has the labels [a, b]; records 1..a-1
    are the pictures; records a..b-1, one an identity, have its first record and the one after its last as labels. Without such
    a record 0 every record is a picture.

    Reading is by position (`pread`): threads, forked and spawned workers may share one object.

    Args:
        path: the .rec.

    Shape:
        i -> (bytes of the picture file, label), in the order of the keys

    Raises:
        DataError: naming the file and the record that is cut, is no record, or points outside.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._open()
        index = self.path.with_suffix(".idx")
        if index.is_file():
            keys, self._offsets = read_index(index, self.path, self._size)
        else:
            log.warning("%s: no %s beside it; looking for its records", self.path, index.name)
            keys, self._offsets = scan(self._descriptor, self._size, self.path)
        if len(keys) == 0:
            raise DataError(f"{self.path}: an empty file, expected records")
        self._keys = None if keys[-1] == len(keys) - 1 else keys  # else key and position are the same
        self._read(int(np.argmax(self._offsets)))  # the last one is cut first
        self._images, self.identities = range(len(keys)), range(0)
        if keys[0] == 0:
            self._images, self.identities = self._layout()

    def __len__(self) -> int:
        return len(self._images)

    def lists(self) -> dict[str, object]:
        """What tells this file from another: its path and size, and where its records are."""
        return {"path": self.path, "size": self._size, "keys": self._keys, "offsets": self._offsets}

    def __getitem__(self, i: int) -> tuple[bytes, int]:
        i = operator.index(i)
        if not 0 <= i < len(self._images):
            raise IndexError(f"picture {i} of {len(self._images)}")
        at = self._images[i]
        labels, data = self._parsed(at)
        return data, self._label(at, labels)

    def name(self, i: int) -> str:
        """What messages call picture i."""
        return self._named(self._images[i])

    def labels(self) -> np.ndarray:
        """(N,) int64 labels of all pictures, looked up without reading the pictures."""
        found = np.empty(len(self), np.int64)
        for start in range(0, len(self), CHUNK):
            first, _, count = self._glance(self._images[start : start + CHUNK])
            plain = (count > 0) & (first >= 0) & (first < 1 << 31) & (first == np.floor(first))
            found[start : start + CHUNK] = np.where(plain, first, -1)
            for i in np.flatnonzero(~plain):  # cut into parts, or something is wrong with it
                found[start + i] = self[int(start + i)][1]
        return found

    def ranges(self) -> np.ndarray:
        """(identities, 2) the pictures, from and up to, of each identity as the layout tells; (0, 2) where it does not.

        Beyond EXACT pictures the layout's numbers, and so these, may be off by two.
        """
        first, last, count = self._glance(self.identities)
        end = len(self) + 1 + 2 * (len(self) >= EXACT)
        good = (count >= 2) & (first >= 1) & (first <= last) & (last <= end)
        for i in np.flatnonzero(~good):
            at = self.identities[int(i)]
            labels = self._parsed(at)[0]
            if len(labels) < 2 or not 1 <= labels[0] <= labels[1] <= end:
                raise DataError(f"{self._named(at)}: expected the first and last record of an identity, received {labels}")
            first[i], last[i] = labels[:2]
        return np.stack([first, last], axis=1).astype(np.int64) - 1

    def _glance(self, records: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First and second label of records, and how many they have: 0 where a record is in parts, cut or damaged."""
        words = np.memmap(self.path, "<u4", "r", shape=(self._size // 4,))
        at = self._offsets[records.start : records.stop] // 4
        magic, word, flag, one, first, second = (words[np.minimum(at + step, len(words) - 1)] for step in (0, 1, 2, 3, 8, 9))
        length, count = (word & LENGTH).astype(np.int64), np.maximum(flag, 1)
        whole = (magic == MAGIC) & (word >> 29 == WHOLE) & (at * 4 + HEAD.size + length <= self._size)
        count[~(whole & (length >= HEADER.size + 4 * flag.astype(np.int64)))] = 0
        return np.where(flag > 0, first, one).view("<f4"), second.view("<f4"), count

    def _layout(self) -> tuple[range, range]:
        """Positions of the pictures and of the identities, by record 0."""
        labels, data = self._parsed(0)
        if len(labels) < 2 or data:
            return range(len(self._offsets)), range(0)
        a, b = (int(label) if np.isfinite(label) and label.is_integer() else -1 for label in labels[:2])
        if a < 2 or b < 0:
            raise DataError(f"{self._named(0)}: expected how many pictures follow, received the labels {labels[:2]}")
        end = len(self._offsets)
        stop = min(a, end) if self._keys is None else int(np.searchsorted(self._keys, min(a, 1 << 62)))
        if abs(a - stop) > _rounded(a):
            raise DataError(f"{self._named(0)}: expected {a - 1} pictures as it says, received {stop - 1} in the index: is it cut?")
        follow = b > a  # otherwise no identities do: some files tell their number here
        if follow and abs(b - end) > _rounded(b):
            raise DataError(f"{self._named(0)}: expected {b} records as it says, received {end} in the index: is it cut?")
        if a < EXACT and (self._is_identity(stop - 1) or (follow and not self._is_identity(stop))):
            raise DataError(f"{self._named(0)}: expected {a - 1} pictures and then identities as it says, received something else")
        return range(1, stop), range(stop, end) if follow else range(0)

    def _is_identity(self, at: int) -> bool:
        try:
            labels, data = self._parsed(at)
        except DataError:  # told where it is asked for
            return False
        return len(labels) >= 2 and not data

    def _parsed(self, at: int) -> tuple[list[float], bytes]:
        """Labels and what follows them."""
        record = self._read(at)
        if len(record) < HEADER.size:
            raise DataError(f"{self._named(at)}: expected a header of {HEADER.size} bytes, received {len(record)}")
        flag, label, _, _ = HEADER.unpack_from(record)
        if flag == 0:
            return [label], record[HEADER.size :]
        start = HEADER.size + 4 * flag
        if start > len(record):
            raise DataError(f"{self._named(at)}: expected {flag} labels as its header says, received {len(record)} bytes")
        return np.frombuffer(record, "<f4", flag, HEADER.size).tolist(), record[start:]

    def _label(self, at: int, labels: list[float]) -> int:
        label = labels[0]
        if not (0 <= label < 1 << 31 and label.is_integer()):
            raise DataError(f"{self._named(at)}: expected a whole number as label, received {label:g}")
        return int(label)

    def _read(self, at: int) -> bytes:
        """The bytes of one record, its parts joined."""
        offset, parts = int(self._offsets[at]), list[bytes]()
        while True:
            head = os.pread(self._descriptor, HEAD.size, offset)
            magic, word = HEAD.unpack(head) if len(head) == HEAD.size else (None, 0)
            flag, length = word >> 29, word & LENGTH
            if magic is None or offset + HEAD.size + length > self._size:
                raise DataError(f"{self._named(at)}: the file ends within this record: it is cut")
            if magic != MAGIC or flag not in ((MIDDLE, LAST) if parts else (WHOLE, FIRST)):
                raise DataError(f"{self._named(at)}: no record where one should begin (byte {offset}): damaged, or another file's index")
            data = os.pread(self._descriptor, length, offset + HEAD.size)
            if len(data) < length:
                raise DataError(f"{self._named(at)}: the file ends within this record: it was cut while open")
            parts.append(data)
            if flag in (WHOLE, LAST):
                return data if len(parts) == 1 else HEAD.pack(MAGIC, 0)[:4].join(parts)
            offset += HEAD.size + length + -length % 4

    def _named(self, at: int) -> str:
        return f"{self.path}: record {at if self._keys is None else self._keys[at]}"

    def _open(self) -> None:
        if self.path.is_dir():
            raise DataError(f"{self.path}: expected a .rec file, received a folder")
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY)
            self._size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise DataError(f"{self.path}: cannot read it: {error.strerror}") from None
        weakref.finalize(self, os.close, self._descriptor)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name not in ("_descriptor", "_size")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()


def _rounded(count: int) -> float:
    """How far from the truth float32 may be where it says `count`."""
    return 0.0 if count < EXACT else float(np.spacing(np.float32(count)))
