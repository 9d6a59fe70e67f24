"""Finds damage that decoders ignore, by checks of the container: checksums, lengths, missing scans.

Each function raises ValueError with the reason, or IndexError if the data ends too early.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from PIL import Image

from ppface.data.pictures.picture_limit import DEFAULT_MB, limit_mb

MAX_CHUNKS = 50_000  # of one PNG or WebP
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x, y and steps of the passes
MAX_SCANNED = 10**9  # pixels times scans of one JPEG, more if the limit of memory is raised; ordinary ones have at most a dozen scans
NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # ends the data of a scan
SEQUENTIAL, PROGRESSIVE, ARITHMETIC = (0xC0, 0xC1), (0xC2,), (0xC9, 0xCA)  # frame markers; libjpeg reads no others
ZEROS = bytes(64)  # more than two blocks of a JPEG whose code of zeros is a single coefficient
COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 34925: "LZMA"}  # of TIFF, whose damage is noticed


def jpeg(data: bytes) -> tuple[bytes, bool]:
    """The same JPEG without harmless format violations, of which libjpeg warns as it does of damage; and whether it is progressive.

    A progressive JPEG without some of its scans decodes to a blurred picture without a warning, so all scans are required.
    """
    frame, components, pixels, scans, adobe = 0, b"", 0, 0, 0
    bits: dict[tuple[int, int], int] = {}  # (component, coefficient) -> number of its low bits not yet coded
    repairs: dict[int, int] = {}  # position -> byte
    for marker, start, end in _segments(data):
        if marker in (*SEQUENTIAL, *PROGRESSIVE):
            frame, components = marker, data[start + 6 : end : 3]
            pixels = int.from_bytes(data[start + 1 : start + 3], "big") * int.from_bytes(data[start + 3 : start + 5], "big")
        elif marker in ARITHMETIC:
            raise ValueError("a JPEG with arithmetic coding, in which decoders do not detect damage; expected Huffman coding")
        elif marker == 0xE0 and data.startswith(b"JFIF\0", start) and data[start + 5] != 1:
            repairs[start + 5] = 1  # an unknown version
        elif marker == 0xEE and data.startswith(b"Adobe", start):
            adobe = start + 11
        elif marker == 0xDA:
            scans += 1
            if scans * pixels > MAX_SCANNED * max(1.0, limit_mb() / DEFAULT_MB):
                raise ValueError(f"more than {scans - 1} scans of {pixels} pixels: damaged, or a decompression bomb")
            if frame in SEQUENTIAL:
                if _overwritten(data, start, end):
                    raise ValueError("its pixel data was overwritten by zeros")
                repairs |= dict(zip(range(end - 3, end), b"\0\x3f\0", strict=True))  # required; some phones write zeros instead
                if data[start] == len(components):
                    break  # the only scan
            first, last, low = (0, 63, 0) if frame in SEQUENTIAL else (data[end - 3], min(data[end - 2], 63), data[end - 1] & 15)
            bits |= {(component, k): low for component in data[start + 1 : end - 3 : 2] for k in range(first, last + 1)}
    if bits and any(bits.get((component, k), 1) for component in components for k in range(64)):
        raise ValueError("some of its scans are missing")
    transforms = {3: (0, 1), 4: (0, 2)}.get(len(components))
    if adobe and transforms and data[adobe] not in transforms:
        repairs[adobe] = transforms[1]  # the one that libjpeg assumes for unknown values
    if all(data[position] == byte for position, byte in repairs.items()):
        return data, frame in PROGRESSIVE
    whole = bytearray(data)
    for position, byte in repairs.items():
        whole[position] = byte
    return bytes(whole), frame in PROGRESSIVE


def _overwritten(data: bytes, start: int, end: int) -> bool:
    """Whether the scan with the header at start:end has a run of zeros that no encoder writes: blocks full of equal coefficients.

    If there are by chance as many such blocks as were lost, libjpeg does not warn. If the code of zeros means the end of a block, a run of
    zeros is an area of one colour.
    """
    zeros = data.find(ZEROS, end)
    if zeros < 0 or NEXT_MARKER.search(data, end, zeros):  # none, or not in this scan
        return False
    shortest = {0x10: 1, 0x11: 0}  # table -> symbol of its code of zeros, 0 is the end of a block; of the standard tables
    for marker, at, until in _segments(data[:start]):
        while marker == 0xC4 and at + 17 < until:
            shortest[data[at]] = data[at + 17]
            at += 17 + sum(data[at + 1 : at + 17])
    return any(shortest.get(0x10 | tables & 15, 0) for tables in data[start + 2 : end - 3 : 2])


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the content of each segment of a JPEG, up to its end or the first invalid segment."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xD9:
        marker, end = data[position + 1], position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in (0x01, 0xFF):  # a marker without content; padding
            position += 2 if marker == 0x01 else 1
            continue
        if end > len(data):
            return
        yield marker, position + 4, end
        if marker == 0xDA:
            found = NEXT_MARKER.search(data, end)
            end = found.start() if found else len(data)
        position = end


def png_header(file: IO[bytes]) -> tuple[int, int, bytes]:
    """(height, width, EXIF) of a PNG without decoding its pixels, which Pillow would do to find EXIF data behind them."""
    start = file.read(24)
    height, width = int.from_bytes(start[20:24], "big"), int.from_bytes(start[16:20], "big")
    if start[12:16] != b"IHDR" or not height * width:
        raise ValueError("damaged header")
    file.seek(33)
    for _ in range(MAX_CHUNKS):
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if kind == b"eXIf":
            return height, width, file.read(length)
        if kind in (b"IEND", b""):
            return height, width, b""
        file.seek(length + 4, os.SEEK_CUR)
    raise ValueError(f"more than {MAX_CHUNKS} chunks: damaged, or a decompression bomb")


def png(data: bytes) -> None:
    """Checks the checksum of every chunk and the number of pixels against the header; Pillow checks neither."""
    view, position, kind = memoryview(data), 8, b""
    parts: list[memoryview] = []
    palette = 0
    while kind != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise ValueError("truncated")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"wrong checksum of its {kind.decode('latin-1')} chunk")
        if kind == b"IDAT":
            parts.append(view[position + 8 : end - 4])
        elif kind == b"PLTE" and not parts:
            palette = length
        position = end
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if colour == 3 and (not palette or palette % 3):
        raise ValueError(f"a palette of {palette} bytes before its pixels, expected 3 for each colour")
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    expected = 0
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            expected += rows * (1 + -(-columns * bits // 8))
    if _inflated(parts, expected) != expected:
        raise ValueError(f"not as many pixels as the {width} x {height} of its header")


def _inflated(parts: Iterable[bytes | memoryview], enough: int) -> int:
    """Size of deflated data when inflated, with its checksum verified; counting stops soon after `enough` bytes."""
    inflating, count = zlib.decompressobj(), 0
    for part in parts:
        while part and not inflating.eof and count <= enough:
            count += len(inflating.decompress(part, 1 << 20))
            part = inflating.unconsumed_tail
    while not inflating.eof and count <= enough:
        more = len(inflating.decompress(inflating.unconsumed_tail, 1 << 20))
        if not more and not inflating.eof:
            raise ValueError("its deflated pixels are truncated")
        count += more
    return count


def fills(image: Image.Image, frame: tuple[int, ...]) -> None:
    """Checks that the first frame (left, top, right, bottom) of a GIF or WebP fills the picture: pixels around it would be made up."""
    if frame != (0, 0, image.width, image.height):
        raise ValueError(f"its frame at {frame} does not fill the {image.width} x {image.height} pixels of its header")


def tiff(image: Image.Image, data: bytes) -> None:
    """Allows compressions in which damage is detected; verifies the checksums of deflate, which libtiff ignores."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    packing = tags.get(259, 1)
    if packing not in COMPRESSIONS:
        names = ", ".join(dict.fromkeys(COMPRESSIONS.values()))
        raise ValueError(f"TIFF compression {packing}, in which decoders do not detect damage; expected one of {names}")
    tile = tags.get(322, 0), tags.get(323, 0)
    if tile[0] * tile[1] > 2 * max(image.width * image.height, 1 << 20):
        raise ValueError(f"tiles of {tile[0]} x {tile[1]} for {image.width} x {image.height} pixels: damaged, or a decompression bomb")
    offsets, counts = tags.get(273) or tags.get(324, ()), tags.get(279) or tags.get(325, ())
    bits = tags.get(258, (1,))
    width, height = tags.get(256, image.width), tags.get(257, image.height)  # as stored, which may not be upright
    rows = max(1, min(tags.get(278, height), height))
    strips = -(-height // rows) * (tags.get(277, 1) if tags.get(284, 1) == 2 else 1)
    if 273 in tags and len(offsets) != strips:
        raise ValueError(f"{len(offsets)} strips of pixels, expected {strips}")
    if packing == 1 and 273 in tags and tags.get(284, 1) == 1:
        expected = -(-width * (sum(bits) if len(bits) > 1 else bits[0] * tags.get(277, 1)) // 8) * height
        if sum(counts) != expected:
            raise ValueError(f"{sum(counts)} bytes of pixels, expected {expected}")
    if COMPRESSIONS[packing] == "deflate":
        left = 8 * (image.width + tile[0]) * (image.height + tile[1])
        for offset, count in zip(offsets, counts, strict=True):
            left -= _inflated([data[offset : offset + count]], left)
            if left < 0:
                raise ValueError("more deflated pixels than its header claims")


def unmarked(image: Image.Image, data: bytes) -> None:
    """Checks the size of a BMP or PPM, which have no end marker and no checksum: what the header says, and less than one row more."""
    codec, _, offset, arguments = image.tile[0]  # type: ignore[attr-defined]
    if codec == "bmp_rle":
        raise ValueError("a run-length coded BMP, in which decoders do not detect damage; expected an uncompressed one")
    if image.format == "BMP" and codec == "raw" and data[14] == 40:  # after a longer header, a colour profile may follow the pixels
        row = arguments[1]
    elif image.format == "PPM" and codec == "raw":
        row = {"1": -(-image.width // 8), "L": image.width, "I": 2 * image.width, "RGB": 3 * image.width}.get(image.mode, len(data))
    elif image.format == "PPM":
        raise ValueError("a PPM in text form or with another maximum; expected a binary one with maximum 255, or grey with 65535")
    else:
        return
    surplus = len(data) - offset - row * image.height
    if surplus >= row:
        raise ValueError(f"{surplus} bytes more than the {image.width} x {image.height} pixels of its header need")
