"""Writes the RecordIO files that record_file.py reads, in the layout of faces_emore."""

from pathlib import Path
from types import TracebackType

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.atomic_write import replace_text
from ppface.data.recordio.record_file import FIRST, HEADER, LAST, MIDDLE, WHOLE
from ppface.data.recordio.record_index import HEAD, LENGTH, MAGIC

MAGIC_BYTES = HEAD.pack(MAGIC, 0)[:4]


class RecordWriter:
    """A `.rec` with its `.idx`: record 0, the pictures, and one record per identity. The files get their names once all is written.

    Args:
        path: the .rec to write.

    Raises:
        DataError: a file that cannot be written, pictures that are not in the order of identities, or too many.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._temporary = self.path.with_name(f".{self.path.name}.part")
        self._offsets: list[int] = []
        self._first: list[int] = []  # key of each identity's first picture
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("wb")
        except OSError as error:
            raise DataError(f"{self.path}: cannot write: {error.strerror}") from None
        self._write([0, 0], b"")  # overwritten at the end

    def add(self, data: bytes, label: int) -> None:
        """One picture file; labels come as 0, 0, ..., 1, 1, ..., without a gap."""
        if label not in (len(self._first) - 1, len(self._first)):
            raise DataError(f"{self.path}: expected pictures identity by identity, received label {label} after {len(self._first) - 1}")
        if label == len(self._first):
            self._first.append(len(self._offsets))
        self._write(label, data)

    def close(self) -> None:
        """Writes the records of the identities, record 0 and the index, and gives both files their names."""
        images, identities = len(self._offsets), len(self._first)
        if images + identities > 1 << 24:
            raise DataError(f"{self.path}: expected at most {1 << 24} records, the limit of float32 counts, received {images + identities}")
        for first, last in zip(self._first, [*self._first[1:], images], strict=True):
            self._write([first, last], b"")
        self._file.seek(0)
        self._file.write(packed([images, images + identities], b"", 0))
        self._file.close()
        lines = "".join(f"{key}\t{offset}\n" for key, offset in enumerate(self._offsets))
        replace_text(self.path.with_suffix(".idx"), lines)
        self._temporary.replace(self.path)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _write(self, label: int | list[int], data: bytes) -> None:
        key = len(self._offsets)
        self._offsets.append(self._file.tell())
        self._file.write(packed(label, data, key))


def packed(label: float | list[int], data: bytes, key: int) -> bytes:
    """A whole record: split wherever its bytes contain the magic number at a multiple of 4, so that a reader can find records."""
    if isinstance(label, list):
        record = HEADER.pack(len(label), 0.0, key, 0) + np.array(label, "<f4").tobytes() + data
    else:
        record = HEADER.pack(0, label, key, 0) + data
    if len(record) > LENGTH:
        raise DataError(f"record {key}: expected at most {LENGTH} bytes, received {len(record)}")
    cuts, at = [], record.find(MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            cuts.append(at)
        at = record.find(MAGIC_BYTES, at + 4 if at % 4 == 0 else at + 1)
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(record)]
    flags = [WHOLE] if not cuts else [FIRST, *[MIDDLE] * (len(cuts) - 1), LAST]
    parts = [
        HEAD.pack(MAGIC, flag << 29 | end - start) + record[start:end] + bytes(-(end - start) % 4)
        for flag, start, end in zip(flags, starts, ends, strict=True)
    ]
    return b"".join(parts)
