"""Writes arrays in the safetensors format in pieces, which can be hashed and written in one pass without a copy; reads such files.

Source: https://github.com/huggingface/safetensors#format: the length of the header (8 bytes, little-endian), the header as JSON,
padded with spaces, and the arrays without gaps.
"""

import json
from pathlib import Path

import numpy as np

from ppface.core.errors import WeightsError
from ppface.core.files.pickle_machine import shown

HEADER = 4 << 20  # bytes, about 30,000 arrays: a longer header is no network's, and takes 40 times its size in memory to parse

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

    The widest types come first, so that every array is aligned to its type.
    """
    header: dict[str, dict] = {}
    content, end = [], 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = np.asarray(arrays[name], order="C")  # not ascontiguousarray, which turns a scalar into a vector
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        assert array.dtype.name in TYPES, f"{name}: safetensors has no type for {array.dtype}"
        start, end = end, end + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
        content.append(array.reshape(-1).view(np.uint8).data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [memoryview(len(text).to_bytes(8, "little") + text), *content]


def unpack(file: Path, content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a file's content by name; bfloat16, which NumPy does not have, as float32.

    Raises:
        WeightsError: it is damaged, or has arrays of an unsupported type.
    """
    from safetensors import SafetensorError, deserialize

    length = int.from_bytes(content[:8], "little")
    if HEADER < length < len(content):
        raise WeightsError(f"{file}: expected a safetensors file with a header of at most {HEADER:,} bytes, received {length:,}")
    try:
        found = dict(sorted(deserialize(content)))
        unsupported = next((name for name, about in found.items() if about["dtype"] not in TYPES.values()), None)
        if unsupported is not None:
            types = f"{shown(unsupported)}: expected {', '.join(TYPES.values())}, received {shown(found[unsupported]['dtype'])}"
            raise WeightsError(f"{file}: {types}; convert it to float32")
        return {name: _array(**about) for name, about in found.items()}
    except (SafetensorError, ValueError) as error:  # ValueError: shapes that NumPy does not support
        raise WeightsError(f"{file}: not a valid safetensors file ({shown(str(error), 200)}); copy or download it again") from error


def widened(halves: np.ndarray) -> np.ndarray:
    """bfloat16, given by its bits as uint16 -> float32, whose upper half it is; of any shape."""
    return np.asarray(halves.astype(np.uint32) << 16).view(np.float32)


def _array(dtype: str, shape: list[int], data: bytearray) -> np.ndarray:
    if dtype == "BF16":
        return widened(np.frombuffer(data, "<u2").reshape(shape))
    kind = next(name for name, code in TYPES.items() if code == dtype)
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(shape)
