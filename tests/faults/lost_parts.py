"""Removes parts of a picture file but keeps lengths and end marks valid: only a decoder that checks for missing data detects it."""

import io
import re
import struct
import zlib

import numpy as np
from PIL import Image

Rng = np.random.Generator


def lose_part(data: bytes, rng: Rng) -> bytes:
    """Removes a scan or restart intervals of a JPEG, a PNG palette or part of it, GIF blocks, the end of a strip, of rows, of WebP data."""
    for start, lose in {b"\xff\xd8": _jpeg, b"\x89P": _png, b"GI": _gif, b"II": _tiff, b"RI": _webp, b"BM": _bmp}.items():
        if data.startswith(start):
            return lose(data, rng)
    return data[: rng.integers(len(data))]


def _jpeg(data: bytes, rng: Rng) -> bytes:
    """Removes eight restart intervals, so that the other markers keep their numbers; else a scan, which may be all pixels."""
    restarts = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    scans = [match.start() for match in re.finditer(rb"\xff\xda", data)] + [len(data) - 2]
    marks, step = (restarts, 8) if len(restarts) > 8 else (scans, 1)
    i = rng.integers(len(marks) - step)
    return data[: marks[i]] + data[marks[i + step] :]


def _png(data: bytes, rng: Rng) -> bytes:
    """Removes the palette, or its second half; without a palette, pixels."""
    at = data.find(b"PLTE") - 4
    if at < 0:
        at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    half = data[at + 8 : at + 8 + length // 6 * 3]
    kind = data[at + 4 : at + 8]
    fewer = struct.pack(">I", len(half)) + kind + half + struct.pack(">I", zlib.crc32(kind + half))
    return data[:at] + (fewer if rng.random() < 0.5 else b"") + data[at + 12 + length :]


def _gif(data: bytes, rng: Rng) -> bytes:
    """Removes the last blocks of the first frame."""
    with Image.open(io.BytesIO(data)) as image:
        at = image.tile[0][2]
    starts = []
    while data[at]:
        starts.append(at)
        at += 1 + data[at]
    return data[: starts[rng.integers(len(starts) - 1)]] + data[at:]  # the last block may be only an end code


def _tiff(data: bytes, rng: Rng) -> bytes:
    """Reduces the byte count of the only strip."""
    at = data.index(struct.pack("<HHI", 279, 4, 1), struct.unpack("<I", data[4:8])[0]) + 8
    count = struct.unpack("<I", data[at : at + 4])[0]
    return data[:at] + struct.pack("<I", int(rng.integers(1, count - 8))) + data[at + 4 :]


def _webp(data: bytes, rng: Rng) -> bytes:
    """Truncates the data of the first frame and drops the others."""
    at = min(place for place in (data.find(b"VP8 "), data.find(b"VP8L")) if place > 0)
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    kept = int(rng.integers(1, length // 2 - 4)) * 2
    body = b"WEBP" + data[at : at + 4] + struct.pack("<I", kept) + data[at + 8 : at + 8 + kept]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bmp(data: bytes, rng: Rng) -> bytes:
    """Removes rows and adjusts both lengths in the header."""
    kept = len(data) - int(rng.integers(1, len(data) // 2))
    start = struct.unpack("<I", data[10:14])[0]
    return data[:2] + struct.pack("<I", kept) + data[6:34] + struct.pack("<I", kept - start) + data[38:kept]
