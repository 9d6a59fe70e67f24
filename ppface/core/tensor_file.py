"""Lays arrays out as a safetensors file, so that it can be measured, hashed and written in one pass without a second copy in memory."""

import json

import numpy as np

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

    Source: https://github.com/huggingface/safetensors#format: the length of the header (8 bytes, little end first), the header as JSON,
    filled up with spaces, and the arrays without gaps. The widest types come first, so that every array lies where its type wants it.
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
