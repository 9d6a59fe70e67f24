"""Reads the `.params` files of MXNet: named arrays, one after the other, little-endian.

Source: https://github.com/apache/mxnet/blob/master/src/ndarray/ndarray.cc (`NDArray::Save`, `Load`, `LegacyLoad`), of a list:
uint64 0x112, uint64 0, uint64 number of arrays, the arrays, uint64 number of names, and for each its length as uint64 and its bytes. An
array is its version as uint32, the storage type as int32 (only from version 2), the number of axes as uint32 and each as int64, two int32
for the device, the type as int32, and the numbers. Files from before 2017 have the number of axes instead of the version, and uint32 axes.
"""

import math
import os
import struct
from typing import IO, Any

import numpy as np

from ppface.core.files.pickle_machine import DamagedError, RefusedError, shown
from ppface.core.files.safetensors_file import widened

LIST = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # V3 differs from V2 in that an array may have no axis
DENSE, SPARSE = 0, {1: "row_sparse", 2: "csr"}
TYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "b1", "i2", "u2", "u4", "u8", "bf16")
MAX_AXES, MAX_NAME = 16, 4096
PREFIXES = ("arg:", "aux:")  # parameters, and running statistics


def read_mxnet(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays by name, without `arg:` and `aux:`. Nothing is read that the file announces but does not have.

    Raises:
        DamagedError: not such a file, or one that is cut off.
        RefusedError: a sound file without arrays, or whose arrays are sparse, empty or without names.
    """
    left = _Left(file)
    if left.numbers("QQ", "the start") != (LIST, 0):
        raise DamagedError("expected the start of an MXNet file, 0x112")
    (count,) = left.numbers("Q", "the number of arrays")
    arrays = [_array(left, i) for i in range(left.checked(count, 8, "arrays"))]
    (named,) = left.numbers("Q", "the number of names")
    if not count:
        raise RefusedError("has none")
    if not named:
        raise RefusedError(f"has no names for its {count} arrays: save a dict of arrays with mxnet.nd.save")
    if named != count:
        raise DamagedError(f"expected a name for each of its {count} arrays, received {named}")
    found: dict[str, np.ndarray] = {}
    for array in arrays:
        (length,) = left.numbers("Q", "the length of a name")
        if length > MAX_NAME:
            raise DamagedError(f"expected names of at most {MAX_NAME} bytes, received {length}")
        name = _plain(left.take(length, "a name").decode("utf-8"))
        if name in found:
            raise DamagedError(f"it has two arrays of the name {shown(name)!r}")
        found[name] = array
    if left.bytes:
        raise DamagedError(f"{left.bytes} bytes follow the last name")
    return found


class _Left:
    """The bytes of a file that are not yet read."""

    def __init__(self, file: IO[bytes]):
        self.file, self.bytes = file, os.fstat(file.fileno()).st_size - file.tell()

    def take(self, count: int, what: str) -> bytes:
        found = self.file.read(self.checked(count, 1, f"bytes of {what}"))
        self.bytes -= len(found)
        return found

    def numbers(self, kinds: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{kinds}", self.take(struct.calcsize(f"<{kinds}"), what))

    def checked(self, count: int, size: int, what: str) -> int:
        """The count, if so many of this size can follow."""
        if count * size > self.bytes:
            raise DamagedError(f"{count} {what} are expected, {self.bytes} bytes are left: it is cut off or not an MXNet file")
        return count


def _array(left: _Left, index: int) -> np.ndarray:
    what = f"array {index}"
    (version,) = left.numbers("I", what)
    if version in (V2, V3):
        (storage,) = left.numbers("i", what)
        if storage in SPARSE:
            raise RefusedError(f"has a sparse one ({what}, {SPARSE[storage]}): save it as array.tostype('default') in MXNet")
        if storage != DENSE:
            raise DamagedError(f"{what}: expected storage type {DENSE}, received {storage}")
    known = version in (V1, V2, V3)
    axes = left.numbers("I", what)[0] if known else version
    if axes > MAX_AXES and not known:
        raise DamagedError(f"{what}: expected {V2:#x}, with which MXNet's arrays begin, received {version:#x}")
    if axes > MAX_AXES:
        raise DamagedError(f"{what}: expected at most {MAX_AXES} axes, received {axes}")
    if axes == 0 and version != V3:
        raise RefusedError(f"has an empty one ({what}): save a model whose parameters have their values")
    shape = left.numbers(("q" if known else "I") * axes, what)
    _, _, kind = left.numbers("iii", what)
    if min(shape, default=0) < 0 or not 0 <= kind < len(TYPES):
        raise DamagedError(f"{what}: expected a shape and a type of MXNet, received {list(shape)} and type {kind}")
    wide = TYPES[kind] == "bf16"
    dtype = np.dtype("<u2" if wide else f"<{TYPES[kind]}")
    numbers = np.frombuffer(left.take(math.prod(shape) * dtype.itemsize, what), dtype).reshape(shape)
    return widened(numbers) if wide else numbers


def _plain(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
