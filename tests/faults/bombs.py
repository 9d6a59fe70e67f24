"""Decompression bombs: small picture files that claim or expand to huge sizes. And the largest files accepted."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mutations import chunk, encoded, png
from PIL import Image

MB = 1 << 20
FAST = ("claims.png", "more_pixels.png", "itxt.png", "scans.jpg", "strip.tif", "claims.webp", "largest_turned.jpg")


@cache
def zeros(count: int) -> bytes:
    """Deflated zeros, compressed in blocks to save memory."""
    packer, parts = zlib.compressobj(9), []
    for start in range(0, count, 16 * MB):
        parts.append(packer.compress(bytes(min(16 * MB, count - start))))
    return b"".join([*parts, packer.flush()])


def scans(times: int) -> bytes:
    """A progressive JPEG of 16 million pixels whose last scan is repeated."""
    data = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True, quality=30)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + b"\xff\xd9"


def tiff(width: int, height: int, packed: bytes, **other: int) -> bytes:
    """One deflated strip, or tile."""
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 0, 277: 1, 278: height, 279: len(packed)}
    if other:
        tags |= {322: other["tile"], 323: other["tile"], 324: 0, 325: len(packed)}
        del tags[273], tags[278], tags[279]
    start = 8 + 2 + 12 * len(tags) + 4
    tags[324 if other else 273] = start
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + packed


def gif(codes: int, block: int = 255) -> bytes:
    """Four pixels with far more codes than needed."""
    blocks = (bytes([block]) + bytes([0x84]) * block) * (codes // block)
    return b"GIF89a\2\0\2\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\2\0\2\0\0\2" + blocks + b"\0;"


def bombs() -> dict[str, Callable[[], bytes]]:
    """Name -> function that makes the bytes. All claim too large a size, are damaged, or hold huge compressed metadata."""
    text = b"Comment\0"
    small = zlib.compress((b"\0" + bytes(30)) * 10)
    return {
        "claims.png": lambda: png(60_000, 60_000, small),
        "true.png": lambda: png(20_000, 20_000, zeros(20_000 * 60_001)),
        "grey.png": lambda: png(30_000, 30_000, zeros(30_000 * 30_001), colour=0),
        "more_pixels.png": lambda: png(10, 10, zeros(400 * MB)),
        "ztxt.png": lambda: png(10, 10, small, before=chunk(b"zTXt", text + b"\0" + zeros(400 * MB))),
        "itxt.png": lambda: png(10, 10, small, before=chunk(b"iTXt", text + b"\1\0\0\0" + zeros(400 * MB))),
        "iccp.png": lambda: png(10, 10, small, before=chunk(b"iCCP", b"profile\0\0" + zeros(400 * MB))),
        "ztxt_after.png": lambda: png(10, 10, small, after=chunk(b"zTXt", text + b"\0" + zeros(400 * MB))),
        "many_texts.png": lambda: png(10, 10, small, before=chunk(b"zTXt", text + b"\0" + zeros(MB - 1)) * 400),
        "many_chunks.png": lambda: png(10, 10, small, before=chunk(b"abCd", b"") * 300_000),
        "scans.jpg": lambda: scans(3000),
        "claims.jpg": lambda: encoded(Image.new("RGB", (8, 8)), "JPEG").replace(b"\0\x08\0\x08", b"\xff\xff\xff\xff"),
        "progressive.jpg": lambda: encoded(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True, subsampling=0),
        "inks.jpg": lambda: encoded(Image.new("CMYK", (6000, 6000)), "JPEG"),
        "strip.tif": lambda: tiff(10, 10, zeros(400 * MB)),
        "true.tif": lambda: tiff(30_000, 30_000, zeros(900 * MB)),
        "tile.tif": lambda: tiff(10, 10, zeros(400 * MB), tile=32_000),
        "loop.tif": lambda: tiff(10, 10, small)[:134].replace(bytes(4) + b"x", b"\x08\0\0\0x"),
        "claims.bmp": lambda: encoded(Image.new("RGB", (8, 8)), "BMP").replace(
            struct.pack("<II", 8, 8), struct.pack("<II", 30_000, 30_000)
        ),
        "runs.bmp": lambda: runs(30_000),
        "claims.gif": lambda: encoded(Image.new("P", (8, 8)), "GIF").replace(b"\x08\0\x08\0", b"\xff\xff\xff\xff"),
        "codes.gif": lambda: gif(20 * MB),
        "long.gif": lambda: gif(140 * MB),
        "blocks.gif": lambda: gif(40 * MB, block=1),
        "claims.webp": lambda: vp8x(16_383),
        "true.webp": lambda: encoded(Image.new("RGB", (9000, 9000)), "WEBP", lossless=True, quality=0, method=0),
        "long.webp": lambda: long_webp(70 * MB),
        "claims.ppm": lambda: b"P6\n60000 60000\n255\n" + bytes(1000),
        "words.ppm": lambda: b"P3\n4000 4000\n255\n" + b"0 " * 30 * MB,
        "digits.ppm": lambda: b"P6\n" + b"9" * 30 * MB,
    }


def runs(side: int) -> bytes:
    """A run-length coded BMP: two bytes encode 255 pixels."""
    pixels = b"\xff\0" * (side * (side // 255 + 1))
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(pixels), 0, 0, 14 + 40 + 1024) + header + bytes(1024) + pixels


def vp8x(side: int) -> bytes:
    """A WebP whose canvas is far larger than its only frame."""
    frame = encoded(Image.new("RGB", (8, 8)), "WEBP")[12:]
    size = (side - 1).to_bytes(3, "little")
    animation = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    held = b"ANMF" + struct.pack("<I", 16 + len(frame)) + bytes(6) + b"\7\0\0\7\0\0" + bytes(4) + frame
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + size + animation + held
    return b"RIFF" + struct.pack("<I", len(body)) + body


def long_webp(length: int) -> bytes:
    """A few pixels followed by `length` bytes of padding."""
    packed = encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True)[20:] + bytes(length)
    return b"RIFF" + struct.pack("<I", 12 + len(packed)) + b"WEBPVP8L" + struct.pack("<I", len(packed)) + packed


def largest() -> dict[str, Callable[[], bytes]]:
    """The largest pictures still accepted, of one colour: name -> function that makes the bytes."""
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "largest.png": lambda: png(5800, 5800, zeros(5800 * (3 * 5800 + 1))),
        "largest.jpg": lambda: encoded(Image.new("RGB", (9600, 9600)), "JPEG"),
        "largest_turned.jpg": lambda: encoded(Image.new("RGB", (6900, 6900)), "JPEG", exif=turned),
        "largest_progressive.jpg": lambda: encoded(Image.new("RGB", (4900, 4900)), "JPEG", progressive=True, subsampling=0),
        "largest_inks.jpg": lambda: encoded(Image.new("CMYK", (4900, 4900)), "JPEG"),
        "largest.webp": lambda: encoded(Image.new("RGB", (3900, 3900)), "WEBP", lossless=True, quality=0, method=0),
        "largest.gif": lambda: encoded(Image.new("P", (5800, 5800)), "GIF"),
        "largest.tif": lambda: tiff(5800, 5800, zeros(5800 * 5800)),
        "largest.bmp": lambda: encoded(Image.new("RGB", (5000, 5000)), "BMP"),
    }


def write(made: dict[str, Callable[[], bytes]], folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    for name, data in made.items():
        (folder / name).write_bytes(data())
    return [folder / name for name in made]
