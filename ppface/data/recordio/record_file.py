"""MXNet RecordIO files of labelled pictures (faces_emore, MS1MV3, Glint360K, WebFace), read in place and written, without mxnet."""

import logging
import operator
import os
import struct
import weakref
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk
from ppface.data.recordio.record_index import HEAD, LENGTH, MAGIC, read_index, scan

HEADER = struct.Struct("<IfQQ")  # flag: number of float32 labels that follow, 0: `label` is the only one; label; id; second id
WHOLE, FIRST, MIDDLE, LAST = range(4)  # continuation flags: a record is split where its bytes contain the magic number
EXACT = 1 << 24  # from here on float32, the type of all counts in the layout, skips integers
CHUNK = 1 << 18  # records whose labels are read at once
log = logging.getLogger("ppface")


class RecordFile:
    """The pictures of a `.rec` with its `.idx` beside it; without an .idx the whole .rec is scanned once.

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
        DataError: a truncated or invalid record, or an offset outside the file; the message names the file and record.
    """

    def __init__(self, path: str | Path):
        self.path = Path(on_disk(path))
        self._open()
        index = self.path.with_suffix(".idx")
        if index.is_file():
            keys, self._offsets = read_index(index, self.path, self._size)
        else:
            log.warning("%s: no %s beside it; scanning the file for records", self.path, index.name)
            keys, self._offsets = scan(self._descriptor, self._size, self.path)
        if len(keys) == 0:
            raise DataError(f"{self.path}: an empty file, expected records")
        self._keys = None if keys[-1] == len(keys) - 1 else keys  # None: keys equal positions
        self._read(int(np.argmax(self._offsets)))  # of a truncated file, the last one is incomplete
        self._images, self.identities = range(len(keys)), range(0)
        if keys[0] == 0:
            self._images, self.identities = self._layout()

    def __len__(self) -> int:
        return len(self._images)

    def lists(self) -> dict[str, object]:
        """What identifies this file: its path and size, and the offsets of its records."""
        return {"path": self.path, "size": self._size, "keys": self._keys, "offsets": self._offsets}

    def __getitem__(self, i: int) -> tuple[bytes, int]:
        i = operator.index(i)
        if not 0 <= i < len(self._images):
            raise IndexError(f"picture {i} of {len(self._images)}")
        at = self._images[i]
        labels, data = self._parsed(at)
        return data, self._label(at, labels)

    def name(self, i: int) -> str:
        """Name of picture i in messages."""
        return self._named(self._images[i])

    def labels(self) -> np.ndarray:
        """(N,) int64 labels of all pictures, without reading the pictures."""
        found = np.empty(len(self), np.int64)
        for start in range(0, len(self), CHUNK):
            first, _, count = self._first_labels(self._images[start : start + CHUNK])
            plain = (count > 0) & (first >= 0) & (first < 1 << 31) & (first == np.floor(first))
            found[start : start + CHUNK] = np.where(plain, first, -1)
            for i in np.flatnonzero(~plain):  # split into parts, or damaged
                found[start + i] = self[int(start + i)][1]
        return found

    def ranges(self) -> np.ndarray:
        """(identities, 2) first picture and stop of each identity according to the layout; (0, 2) if it does not say.

        Beyond EXACT pictures the layout's numbers, and so these, may be off by two.
        """
        first, last, count = self._first_labels(self.identities)
        end = len(self) + 1 + 2 * (len(self) >= EXACT)
        good = (count >= 2) & (first >= 1) & (first <= last) & (last <= end)
        for i in np.flatnonzero(~good):
            at = self.identities[int(i)]
            labels = self._parsed(at)[0]
            if len(labels) < 2 or not 1 <= labels[0] <= labels[1] <= end:
                raise DataError(f"{self._named(at)}: expected the first and last record of an identity, received {labels}")
            first[i], last[i] = labels[:2]
        return np.stack([first, last], axis=1).astype(np.int64) - 1

    def _first_labels(self, records: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First and second label of records, and how many they have: 0 if a record is split, truncated or damaged."""
        words = np.memmap(self.path, "<u4", "r", shape=(self._size // 4,))
        at = self._offsets[records.start : records.stop] // 4
        magic, word, flag, one, first, second = (words[np.minimum(at + step, len(words) - 1)] for step in (0, 1, 2, 3, 8, 9))
        length, count = (word & LENGTH).astype(np.int64), np.maximum(flag, 1)
        whole = (magic == MAGIC) & (word >> 29 == WHOLE) & (at * 4 + HEAD.size + length <= self._size)
        count[~(whole & (length >= HEADER.size + 4 * flag.astype(np.int64)))] = 0
        return np.where(flag > 0, first, one).view("<f4"), second.view("<f4"), count

    def _layout(self) -> tuple[range, range]:
        """Positions of the pictures and of the identities, according to record 0."""
        labels, data = self._parsed(0)
        if len(labels) < 2 or data:
            return range(len(self._offsets)), range(0)
        a, b = (int(label) if np.isfinite(label) and label.is_integer() else -1 for label in labels[:2])
        if a < 2 or b < 0:
            raise DataError(f"{self._named(0)}: expected the number of pictures, received the labels {labels[:2]}")
        end = len(self._offsets)
        stop = min(a, end) if self._keys is None else int(np.searchsorted(self._keys, min(a, 1 << 62)))
        if abs(a - stop) > _rounding_error(a):
            raise DataError(
                f"{self._named(0)}: expected {a - 1} pictures according to its labels, received {stop - 1} in the index: is it truncated?"
            )
        follow = b > a  # else there are no identity records: some files store their number here
        if follow and abs(b - end) > _rounding_error(b):
            raise DataError(
                f"{self._named(0)}: expected {b} records according to its labels, received {end} in the index: is it truncated?"
            )
        if a < EXACT and (self._is_identity(stop - 1) or (follow and not self._is_identity(stop))):
            raise DataError(
                f"{self._named(0)}: expected {a - 1} pictures and then identities according to its labels, received other records"
            )
        return range(1, stop), range(stop, end) if follow else range(0)

    def _is_identity(self, at: int) -> bool:
        try:
            labels, data = self._parsed(at)
        except DataError:  # reported when it is read
            return False
        return len(labels) >= 2 and not data

    def _parsed(self, at: int) -> tuple[list[float], bytes]:
        """Labels, and the data after them."""
        record = self._read(at)
        if len(record) < HEADER.size:
            raise DataError(f"{self._named(at)}: expected a header of {HEADER.size} bytes, received {len(record)}")
        flag, label, _, _ = HEADER.unpack_from(record)
        if flag == 0:
            return [label], record[HEADER.size :]
        start = HEADER.size + 4 * flag
        if start > len(record):
            raise DataError(f"{self._named(at)}: expected {flag} labels according to its header, received {len(record)} bytes")
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
                raise DataError(f"{self._named(at)}: the file ends within this record: it is truncated")
            if magic != MAGIC or flag not in ((MIDDLE, LAST) if parts else (WHOLE, FIRST)):
                raise DataError(
                    f"{self._named(at)}: expected the start of a record at byte {offset}: damaged, or the index of another file"
                )
            data = os.pread(self._descriptor, length, offset + HEAD.size)
            if len(data) < length:
                raise DataError(f"{self._named(at)}: the file ends within this record: it was truncated while open")
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


def _rounding_error(count: int) -> float:
    """Rounding error of `count` in float32."""
    return 0.0 if count < EXACT else float(np.spacing(np.float32(count)))
