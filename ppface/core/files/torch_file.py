"""Reads files of `torch.save` without torch: the zip format, and the legacy format before PyTorch 1.6.

Sources: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py (`_load`, `_legacy_load`), and torch/_utils.py for how a tensor
is rebuilt from a storage, an offset, sizes and strides. Only storages that a tensor uses are read, each once.
"""

import math
import os
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import IO, Any

import numpy as np

from ppface.core.files.numpy_pickle import NUMPY
from ppface.core.files.pickle_machine import Budget, Call, DamagedError, Machine, RefusedError, StandIn, shown
from ppface.core.files.safe_unpickle import PLAIN, unpickle
from ppface.core.files.safetensors_file import widened

ZIP, NUMBER = b"PK\x03\x04", bytes.fromhex("6cfc9c46f9206aa85019")  # the legacy format begins with the pickle of this number
PROTOCOL = 1001
MAX_ENTRIES = 50_000  # of a zip file, at half a kilobyte of memory each
MAX_AXES = 16
TYPES = {  # name of a storage -> of a tensor's type, NumPy's code
    "Float": ("float32", "f4"), "Double": ("float64", "f8"), "Half": ("float16", "f2"), "BFloat16": ("bfloat16", "bf16"),
    "Long": ("int64", "i8"), "Int": ("int32", "i4"), "Short": ("int16", "i2"), "Char": ("int8", "i1"), "Byte": ("uint8", "u1"),
    "Bool": ("bool", "b1"), "Untyped": ("", ""),
}  # fmt: skip


class Kind(StandIn):
    """Replaces the type of a storage or tensor: NumPy's type code, "bf16", or "" for untyped bytes."""

    def __init__(self, code: str):
        self.code = code
        self.itemsize = 2 if code == "bf16" else np.dtype(code or "u1").itemsize


class Storage(StandIn):
    """A one-dimensional array of numbers.

    Args:
        kind: of the numbers.
        count: how many.
        read: () -> their bytes.
        order: of the bytes of a number, "<" or ">".
    """

    def __init__(self, kind: Kind, count: Any, read: Callable[[], bytes | memoryview], order: str = "<"):
        if type(count) is not int or count < 0:
            raise DamagedError("a storage without a size")
        self.kind, self.count, self.read, self.order = kind, count, read, order
        self.held: bytes | memoryview | None = None

    def content(self) -> bytes | memoryview:
        if self.held is None:
            self.held = self.read()
            if len(self.held) != self.count * self.kind.itemsize:
                raise DamagedError(f"a storage announces {self.count * self.kind.itemsize} bytes and has {len(self.held)}")
        return self.held

    def part(self, start: Any, count: Any) -> "Storage":
        if type(start) is not int or type(count) is not int or not 0 <= start <= start + count <= self.count:
            raise DamagedError("a view that reaches beyond its storage")
        size = self.kind.itemsize
        return Storage(self.kind, count, lambda: memoryview(self.content())[start * size : (start + count) * size], self.order)


class Tensor(StandIn):
    """Replaces torch.Tensor: storage, offset, sizes and strides."""

    def __init__(self, storage: Any, offset: Any, sizes: Any, strides: Any, kind: Any = None):
        if not isinstance(storage, Storage):
            raise DamagedError("a tensor without a storage")
        self.storage, self.kind = storage, kind or storage.kind
        self.offset, self.sizes, self.strides = offset, sizes, strides

    def array(self, budget: Budget) -> np.ndarray:
        """As a NumPy array, bfloat16 as float32.

        Args:
            budget: in bytes.

        Raises:
            DamagedError: it is incomplete, reaches beyond its storage, or is larger than the budget.
        """
        for numbers in (self.sizes, self.strides):
            if type(numbers) is not tuple or len(numbers) > MAX_AXES or any(type(number) is not int or number < 0 for number in numbers):
                raise DamagedError("invalid sizes or strides")
        if len(self.sizes) != len(self.strides) or type(self.offset) is not int or self.offset < 0:
            raise DamagedError("inconsistent sizes, strides and offset")
        if not isinstance(self.kind, Kind) or not self.kind.code:
            raise DamagedError("a tensor without a type")
        wide = self.kind.code == "bf16"
        kind = np.dtype(self.storage.order + ("u2" if wide else self.kind.code))
        count = math.prod(self.sizes)
        budget.spend(count * (4 if wide else kind.itemsize))
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True))
        if count and last >= self.storage.count * self.storage.kind.itemsize // kind.itemsize:
            raise DamagedError("it reaches beyond its storage")
        if not count:
            return np.zeros(self.sizes, "f4" if wide else kind.newbyteorder("="))
        steps = [stride * kind.itemsize for stride in self.strides]
        flat = np.frombuffer(self.storage.content(), kind)
        found = np.lib.stride_tricks.as_strided(flat[self.offset :], self.sizes, steps, writeable=False)
        found = found.astype(kind.newbyteorder("="), order="C")
        return widened(found) if wide else found


def _tensor(
    machine: Machine, storage: Any, offset: Any, sizes: Any, strides: Any, grad: Any = False, hooks: Any = (), about: Any = None
) -> Tensor:
    if about:
        raise DamagedError("a conjugate or negative view")
    return Tensor(storage, offset, sizes, strides)


def _typed_tensor(
    machine: Machine, storage: Any, offset: Any, sizes: Any, strides: Any, grad: Any, hooks: Any, kind: Any, about: Any = None
) -> Tensor:
    tensor = _tensor(machine, storage, offset, sizes, strides, grad, hooks, about)
    tensor.kind = kind
    return tensor


def _parameter(machine: Machine, data: Any, *_: Any) -> Any:
    return data


def _size(machine: Machine, sizes: Any = ()) -> Any:
    return sizes


TORCH: dict[tuple[str, str], Any] = PLAIN | NUMPY
TORCH |= {("torch._utils", name): Call(_tensor) for name in ("_rebuild_tensor", "_rebuild_tensor_v2")}
TORCH |= {("torch._utils", name): Call(_parameter) for name in ("_rebuild_parameter", "_rebuild_parameter_with_state")}
TORCH |= {("torch._utils", "_rebuild_tensor_v3"): Call(_typed_tensor), ("torch", "Size"): Call(_size)}
TORCH |= {("torch", f"uint{bits}"): Kind(f"u{bits // 8}") for bits in (16, 32, 64)}
for _storage, (_name, _code) in TYPES.items():
    TORCH |= {(_package, f"{_storage}Storage"): Kind(_code) for _package in ("torch", "torch.cuda", "torch.storage")}
    TORCH |= {("torch", _name): Kind(_code)} if _name else {}


def is_torch(start: bytes) -> bool:
    """Whether a file that starts with these 64 bytes was written by `torch.save`."""
    return start.startswith(ZIP) or NUMBER in start[:64]


def read_torch(file: IO[bytes]) -> Any:
    """The saved value: plain containers with a `Tensor` for every tensor and a `Foreign` for every other object; the file must stay
    open until the tensors are converted to arrays.

    Raises:
        RefusedError: it uses something that no weight file needs.
        Exception: a damaged file can fail in any way.
    """
    return _read_zip(file) if file.read(len(ZIP)) == ZIP else _read_legacy(file)


def _storage_of(reference: Any, lengths: tuple[int, ...]) -> tuple:
    """(kind, key, device, count, ...) of a persistent id."""
    if type(reference) is not tuple or len(reference) not in lengths or reference[0] != "storage":
        raise RefusedError("refers to an external object other than a storage")
    if not isinstance(reference[1], Kind) or type(reference[2]) is not str:
        raise DamagedError("a storage without a type or a key")
    return reference[1:]


def _read_zip(file: IO[bytes]) -> Any:
    budget = Budget(file.seek(0, os.SEEK_END), "its entries announce more bytes than it has")
    _count_entries(file)
    archive = zipfile.ZipFile(file)
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise DamagedError("it has two entries of one name")
    tops = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(tops) != 1 or f"{tops[0]}/constants.pkl" in entries:
        raise DamagedError("expected a file of torch.save, with one data.pkl, received another zip file or a TorchScript program")
    for name, entry in entries.items():
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise DamagedError(f"its entry {shown(name)} is compressed or encrypted, which PyTorch never does")
        if name.startswith("/") or ".." in name.split("/"):
            raise DamagedError(f"its entry {shown(name)} has a path outside the archive")

    def content(name: str) -> bytes:
        if name not in entries:
            raise DamagedError(f"its entry {shown(name)} is missing")
        budget.spend(entries[name].file_size)
        return archive.read(name)  # verifies the checksum

    order = content(f"{tops[0]}/byteorder") if f"{tops[0]}/byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise DamagedError(f"expected the byte order little or big, received {shown(repr(order[:20]))}")
    storages: dict[tuple[str, Kind], Storage] = {}

    def persistent_load(reference: Any) -> Storage:
        kind, key, _, count = _storage_of(reference, (5,))
        if (key, kind) not in storages:
            read = partial(content, f"{tops[0]}/data/{key}")
            storages[key, kind] = Storage(kind, count, read, "<" if order == b"little" else ">")
        return storages[key, kind]

    return unpickle(BytesIO(content(f"{tops[0]}/data.pkl")), TORCH, persistent_load, placeholders=True)


def _count_entries(file: IO[bytes]) -> None:
    """Raises DamagedError for more than MAX_ENTRIES entries, before zipfile reads all of them into memory."""
    count, tail = 0, b""
    file.seek(0)
    while chunk := file.read(1 << 20):
        text = tail + chunk
        count += text.count(b"PK\x01\x02")
        tail = text[-3:]
    if count > MAX_ENTRIES:
        raise DamagedError(f"more than {MAX_ENTRIES:,} entries")


def _read_legacy(file: IO[bytes]) -> Any:
    file.seek(0)
    magic, protocol, about = (unpickle(file, PLAIN) for _ in range(3))
    if magic != int.from_bytes(NUMBER, "little") or protocol != PROTOCOL or type(about) is not dict:
        raise DamagedError(f"expected protocol {PROTOCOL} of torch.save")
    storages: dict[str, Storage] = {}
    positions: dict[str, tuple[int, int]] = {}  # key -> (first byte, length)

    def read(key: str) -> bytes:
        if key not in positions:
            raise DamagedError("a storage is missing")
        file.seek(positions[key][0])
        return file.read(positions[key][1])

    def persistent_load(reference: Any) -> Storage:
        kind, key, _, count, *view = _storage_of(reference, (5, 6))
        storage = storages.setdefault(key, Storage(kind, count, partial(read, key)))
        if not view or view[0] is None:
            return storage
        if type(view[0]) is not tuple or len(view[0]) != 3:
            raise DamagedError("a view of a storage without its offset")
        return storage.part(*view[0][1:])

    found, keys = unpickle(file, TORCH, persistent_load, placeholders=True), unpickle(file, PLAIN)
    if type(keys) is not list or any(type(key) is not str or key not in storages for key in keys) or len(set(keys)) != len(keys):
        raise DamagedError("the list of its storages does not match its tensors")
    end = os.fstat(file.fileno()).st_size
    for key in keys:
        count, start = int.from_bytes(file.read(8), "little"), file.tell()
        length = count * storages[key].kind.itemsize
        if length > end - start:
            raise DamagedError(f"{length} bytes are announced, {end - start} are left")
        positions[key] = (start, length)
        file.seek(start + length)
    return found
