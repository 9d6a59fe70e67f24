"""Writes the files of `torch.save` by hand, both layouts, so that no test needs torch."""

import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage", "int32": "IntStorage",
    "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


@dataclass(frozen=True)
class Global:
    """A name that the pickle mentions."""

    module: str
    name: str


@dataclass
class Storage:
    """Numbers in a row, under a key; `kind` is the name of its class, `view` what a legacy persistent id may say of a part."""

    numbers: np.ndarray
    kind: str = ""
    key: str = ""
    view: tuple | None = None
    module: str = "torch"

    def __post_init__(self):
        self.kind = self.kind or STORAGES[self.numbers.dtype.name]
        self.key = self.key or str(id(self.numbers))


@dataclass
class Tensor:
    """A tensor over a storage, or of an array."""

    storage: Storage | np.ndarray
    sizes: tuple | None = None
    strides: tuple = ()
    offset: int = 0
    function: str = "_rebuild_tensor_v2"
    last: tuple = (False, OrderedDict())

    def __post_init__(self):
        if isinstance(self.storage, np.ndarray):
            array = np.ascontiguousarray(self.storage)
            self.sizes = self.storage.shape
            self.strides = tuple(step // array.itemsize for step in array.strides) if self.sizes else ()
            self.storage = Storage(array.reshape(-1))


@dataclass
class Parameter:
    """A parameter around a tensor."""

    data: Tensor


@dataclass
class Written:
    """The pickle of a value, and the storages in it."""

    pickle: bytes = b""
    storages: dict[str, Storage] = field(default_factory=dict)


def pickled(value: Any, legacy: bool, protocol: int = 2) -> Written:
    """The pickle that `torch.save` makes, with instructions of the protocol; Globals may stand anywhere."""
    written = Written()

    class Reduced:
        def __init__(self, function: Global, *arguments):
            self.call = (function, arguments)

    class Pickler(pickle._Pickler):
        def persistent_id(self, item):
            if not isinstance(item, Storage):
                return None
            written.storages.setdefault(item.key, item)
            last = (item.view,) if legacy else ()
            return ("storage", Global(item.module, item.kind), item.key, "cpu", len(item.numbers), *last)

        def save(self, item, **rest):
            if isinstance(item, Global):
                return self.write(f"c{item.module}\n{item.name}\n".encode())
            if isinstance(item, Parameter):
                item = Reduced(Global("torch._utils", "_rebuild_parameter"), item.data, True, OrderedDict())
            if isinstance(item, Tensor):
                place = (item.storage, item.offset, item.sizes, item.strides)
                item = Reduced(Global("torch._utils", item.function), *place, *item.last)
            if isinstance(item, Reduced):
                self.save(item.call[0])
                self.save(item.call[1])
                return self.write(b"R")
            return super().save(item, **rest)

    stream = BytesIO()
    Pickler(stream, protocol).dump(value)
    written.pickle = stream.getvalue()
    return written


def data(storage: Storage, big: bool = False) -> bytes:
    """The bytes of a storage; "big": the highest byte of each number first."""
    return storage.numbers.astype(storage.numbers.dtype.newbyteorder(">" if big else "<")).tobytes()


def write_zip(path: Path, value: Any, protocol: int = 2, top: str = "archive", big: bool = False, **records: bytes | None) -> Path:
    """The layout since PyTorch 1.6; further records replace those of their name, None leaves one out."""
    written = value if isinstance(value, Written) else pickled(value, legacy=False, protocol=protocol)
    found: dict[str, bytes | None] = {"data.pkl": written.pickle, "byteorder": b"big" if big else b"little"}
    found |= {f"data/{key}": data(storage, big) for key, storage in written.storages.items()}
    found |= {"version": b"3\n", ".data/serialization_id": b"0" * 40} | records
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in found.items():
            if content is not None:
                archive.writestr(f"{top}/{name}", content)
    return path


def write_legacy(
    path: Path, value: Any, protocol: int = 2, keys: list | None = None, version: int = 1001, tail: bytes | None = None
) -> Path:
    """The layout before PyTorch 1.6; `keys` and `tail` replace the list of storages and their bytes."""
    written = value if isinstance(value, Written) else pickled(value, legacy=True, protocol=protocol)
    names = sorted(written.storages) if keys is None else keys
    head = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, version, SYSTEM)]
    body = b"".join(struct.pack("<q", len(storage.numbers)) + data(storage) for _, storage in sorted(written.storages.items()))
    path.write_bytes(b"".join([*head, written.pickle, pickle.dumps(names, protocol=2), body if tail is None else tail]))
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy}
