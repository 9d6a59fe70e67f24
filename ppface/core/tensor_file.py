"""Lays arrays out as a safetensors file, so that it can be measured, hashed and written in one pass without a second copy; reads them.

Source: https://github.com/huggingface/safetensors#format: the length of the header (8 bytes, little end first), the header as JSON,
filled up with spaces, and the arrays without gaps.
"""

import json
from pathlib import Path

import numpy as np

from ppface.core.errors import WeightsError
from ppface.core.pickle_machine import shown

HEADER = 8 << 20  # bytes, of 80,000 arrays or so: what a longer one describes is no network, and takes a hundred times its size to parse

TYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
}


def pieces(arrays: dict[str, np.ndarray]) -> list[memoryview]:
    """The bytes of the file, one piece after the other: the header, then each array's own memory.

    The widest types come first, so that every array lies where its type wants it.
    """
    header: dict[str, dict] = {}
    content, end = [], 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = np.asarray(arrays[name], order="C")  # not ascontiguousarray, which makes a vector of a single number
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        assert array.dtype.name in TYPES, f"{name}: safetensors has no type for {array.dtype}"
        start, end = end, end + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
        content.append(array.reshape(-1).view(np.uint8).data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [memoryview(len(text).to_bytes(8, "little") + text), *content]


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; bfloat16, which NumPy does not have, as float32. The safetensors package judges whether it is whole.

    Raises:
        WeightsError: it is not, or has arrays of a type that neither has.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            check_header(path, length, path.stat().st_size)
            with safe_open(path, framework="np"):
                header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            strange = next((name for name, about in header.items() if about["dtype"] not in TYPES.values()), None)
            if strange is not None:
                told = f"{shown(strange)}: expected {', '.join(TYPES.values())}, received {shown(header[strange]['dtype'])}"
                raise WeightsError(f"{path}: {told}; save it as float32 where it comes from")
            names = sorted(header, key=lambda name: header[name]["data_offsets"])
            return {name: _array(file.read(int(np.diff(header[name]["data_offsets"])[0])), header[name]) for name in names}
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({shown(str(error), 200)}); copy or download it again") from error


def check_header(path: Path, length: int, size: int) -> None:
    """Raises WeightsError for a header, within a file of this size, of so many bytes that parsing it would take the machine's memory."""
    if HEADER < length <= size:
        raise WeightsError(f"{path}: expected a safetensors file with a header of at most {HEADER:,} bytes, received {length:,}")


def _array(data: bytes, about: dict) -> np.ndarray:
    if about["dtype"] == "BF16":
        return (np.frombuffer(data, "<u2").astype("u4") << 16).view("f4").reshape(about["shape"])
    kind = next(name for name, code in TYPES.items() if code == about["dtype"])
    return np.frombuffer(bytearray(data), np.dtype(kind).newbyteorder("<")).reshape(about["shape"])
