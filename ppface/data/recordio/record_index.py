"""Offsets of the records of a RecordIO file: read from its .idx, or found by a scan of the file."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError

MAGIC = 0xCED7230A
HEAD = struct.Struct("<II")  # magic; 3 bits of continuation flag and 29 of length
LENGTH = (1 << 29) - 1
CHUNK = 4 << 20  # bytes of .idx parsed at once
MAX_LINE = 100  # bytes


def read_index(path: Path, rec: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and byte offsets of an .idx, one line `key<tab>offset` per record, in the order of the keys.

    Args:
        path: the .idx.
        rec: the file that it indexes, for messages.
        size: of `rec` in bytes.

    Shape:
        (R,) int64, (R,) int64

    Raises:
        DataError: no index, an invalid line, a repeated key, or an offset where no record can begin.
    """
    keys: list[np.ndarray] = []
    offsets: list[np.ndarray] = []
    line = 1
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                pairs = _pairs(chunk + file.readline(MAX_LINE), path, line)
                keys.append(pairs[:, 0].copy())
                offsets.append(pairs[:, 1].copy())
                line += len(pairs)
    except OSError as error:
        raise DataError(f"{path}: cannot read the index of {rec.name}: {error.strerror}") from None
    if not keys:
        raise DataError(f"{path}: an empty index")
    where = np.concatenate(offsets)
    offsets.clear()
    wrong = np.flatnonzero((where < 0) | (where > size - HEAD.size) | (where % 4 != 0))
    if len(wrong):
        found = f"received {where[wrong[0]]} on line {wrong[0] + 1}"
        expected = f"expected multiples of 4 that lie in the {size} bytes of {rec.name}"
        raise DataError(f"{path}: {expected}, {found}: the .rec is truncated, or this index belongs to another file")
    key = np.concatenate(keys)
    if key.min() < 0:
        raise DataError(f"{path}: expected keys of at least 0, received {key.min()}")
    if (np.diff(key) > 0).all():
        return key, where
    order = np.argsort(key, kind="stable")
    key = key[order]
    twice = np.flatnonzero(np.diff(key) == 0)
    if len(twice):
        raise DataError(f"{path}: expected each key once, received {key[twice[0]]} twice")
    return key, where[order]


def _pairs(text: bytes, path: Path, first: int) -> np.ndarray:
    """(lines, 2) numbers of some whole lines."""
    count = text.count(b"\n") + (not text.endswith(b"\n"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # raised by NumPy for text that is not a number
            numbers = np.fromstring(text.decode("ascii"), np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        numbers = np.empty(0, np.int64)
    if len(numbers) == 2 * count == 2 * text.count(b"\t"):
        return numbers.reshape(-1, 2)
    for at, line in enumerate(text.splitlines(), start=first):
        words = line.split()
        if len(words) != 2 or not all(word.isdigit() and len(word) < 19 for word in words):
            shown = line[:40].decode("ascii", "replace")
            raise DataError(f"{path}:{at}: expected a line 'key offset' of two whole numbers, received {shown!r}")
    return np.array([line.split() for line in text.splitlines()]).astype(np.int64)


def scan(descriptor: int, size: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys 0, 1, 2, ... and offsets of all records of an open file without an index.

    Raises:
        DataError: at the first byte where a record should begin and none does, or where the file ends too early.
    """
    offsets: list[int] = []
    at = 0
    while at < size:
        head = os.pread(descriptor, HEAD.size, at)
        magic, word = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)
        end = at + HEAD.size + (word & LENGTH)
        if magic != MAGIC or end > size:
            raise DataError(f"{path}: record {len(offsets)}, byte {at}: expected a whole record: the file is truncated or not RecordIO")
        if word >> 29 < 2:  # 2 and 3 continue a record
            offsets.append(at)
        at = end + -end % 4
    return np.arange(len(offsets)), np.array(offsets, np.int64)
