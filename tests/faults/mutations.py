"""Picture files of every format, and mutations of them."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from lost_parts import lose_part
from PIL import Image, ImageOps

Rng = np.random.Generator
ORIENTATION = 0x0112
SUFFIX = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "PPM": "ppm"}


@dataclass(frozen=True)
class Source:
    """A valid picture file.

    Attributes:
        name: the variant of the format.
        kind: format.
        data: its bytes.
        pixels: the expected upright RGB pixels.
    """

    name: str
    kind: str
    data: bytes
    pixels: np.ndarray

    @property
    def packed(self) -> bool:
        """Whether the pixels are compressed, so that zero bytes are not black pixels."""
        return self.kind not in ("BMP", "PPM", "TIFF") or self.name.startswith(("pack", "tiff"))


@dataclass(frozen=True)
class Case:
    """A file to read.

    Attributes:
        what: name of the mutation.
        name: file name.
        source: the valid file it was made from, if any.
        data: content; None: a folder.
    """

    what: str
    name: str
    source: Source | None
    data: bytes | None


def photo(rng: Rng, size: tuple[int, int] | None = None) -> Image.Image:
    """Coarse structure with noise, of random size."""
    width, height = size or (int(side) for side in rng.integers(60, 160, 2))
    smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(smooth) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upright(data: bytes) -> np.ndarray:
    """Upright RGB pixels, decoded by Pillow; of 16 bits the upper 8 are kept."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):
            return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def sources(rng: Rng) -> list[Source]:
    """One file per variant, all with different content."""
    made: list[Source] = []

    def add(name: str, kind: str, change: Callable[[Image.Image], Image.Image] = lambda image: image, **options) -> None:
        image = change(photo(rng))
        if options.get("save_all"):
            options["append_images"] = [change(photo(rng, image.size))]
        data = encoded(image, kind, **options)
        made.append(Source(name, kind, data, upright(data)))

    def turned(orientation: int) -> Image.Exif:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        exif[0x010F] = "Camera"
        return exif

    def sixteen(image: Image.Image) -> Image.Image:
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256 + np.uint16(rng.integers(256)))

    def mode(name: str) -> Callable[[Image.Image], Image.Image]:
        return lambda image: image.convert(name)

    def few(image: Image.Image) -> Image.Image:
        return image.quantize(64)

    add("plain", "JPEG", quality=92)
    add("halved colours", "JPEG", quality=75, subsampling=2)
    add("progressive", "JPEG", progressive=True)
    add("restarts", "JPEG", restart_marker_rows=1)
    add("grey", "JPEG", mode("L"))
    add("CMYK", "JPEG", mode("CMYK"))
    for orientation in (3, 6, 8):
        add(f"turned {orientation}", "JPEG", exif=turned(orientation))
    add("plain", "PNG")
    add("grey", "PNG", mode("L"))
    add("alpha", "PNG", mode("RGBA"))
    add("palette", "PNG", few)
    add("one bit", "PNG", mode("1"))
    add("16 bits", "PNG", sixteen)
    add("turned", "PNG", exif=turned(6))
    add("animated", "PNG", save_all=True)
    add("plain", "BMP")
    add("palette", "BMP", few)
    add("plain", "GIF", few)
    add("interlaced", "GIF", few, interlace=1)
    add("animated", "GIF", few, save_all=True)
    add("plain", "WEBP")
    add("lossless", "WEBP", lossless=True)
    add("alpha", "WEBP", lambda image: Image.fromarray(np.dstack([np.asarray(image), np.asarray(image)[:, :, 0]])))
    add("turned", "WEBP", exif=turned(5))
    add("animated", "WEBP", save_all=True)
    add("plain", "TIFF")
    add("16 bits", "TIFF", sixteen)
    for packing in ("tiff_lzw", "tiff_adobe_deflate"):
        add(packing, "TIFF", compression=packing)
    add("plain", "PPM")
    add("grey", "PPM", mode("L"))
    return [*made, interlaced_png(rng)]


def interlaced_png(rng: Rng) -> Source:
    """Adam7 interlacing, which Pillow can read but not write."""
    pixels = np.asarray(photo(rng))
    rows = []
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        rows += [b"\0" + row.tobytes() for row in pixels[y::dy, x::dx]]
    data = png(pixels.shape[1], pixels.shape[0], zlib.compress(b"".join(rows)), interlace=1)
    return Source("interlaced", "PNG", data, pixels)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, before: bytes = b"", colour: int = 2, interlace: int = 0, after: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


# Mutations and their allowed results. HARMLESS: must be read, to the same pixels. SHORTENED: refused or read to the same pixels, as missing
# data cannot be restored; likewise `zeroed` if the pixels are compressed. The others may decode to different pixels if no decoder can
# detect the change.


def cut(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data))]


def cut_at_the_end(data: bytes, rng: Rng) -> bytes:
    return data[: -int(rng.integers(1, 40))]


def cut_and_closed(data: bytes, rng: Rng) -> bytes:
    """Truncated, with a valid end mark after the cut."""
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89P": chunk(b"IEND", b""), b"GI": b"\0;"}
    return cut(data, rng) + ends.get(data[:2], b"\0")


def flip(data: bytes, rng: Rng) -> bytes:
    mutated = bytearray(data)
    mutated[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(mutated)


def flip_many(data: bytes, rng: Rng) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.integers(2, 20)):
        mutated[rng.integers(len(data))] = rng.integers(256)
    return bytes(mutated)


def blank(data: bytes, rng: Rng) -> bytes:
    """A block of zeros, as disk faults and broken downloads leave it."""
    start = int(rng.integers(len(data)))
    end = min(len(data), start + int(rng.integers(16, 4096)))
    return data[:start] + bytes(end - start) + data[end:]


def zeroed(data: bytes, rng: Rng) -> bytes:
    """Zeros from some offset on, as in an incomplete download into a preallocated file; the end mark may remain."""
    kept, start = int(rng.choice([0, 2, 12])), int(len(data) * rng.uniform(0.3, 0.9))
    return data[:start] + bytes(len(data) - start - kept) + data[len(data) - kept :]


def other_end(data: bytes, rng: Rng) -> bytes:
    """Random bytes from some offset on, except for the end mark."""
    kept, start = int(rng.choice([0, 2, 12])), int(len(data) * rng.uniform(0.3, 0.9))
    return data[:start] + rng.bytes(len(data) - start - kept) + data[len(data) - kept :]


def hole(data: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, 2000)) :]


def header(data: bytes, rng: Rng) -> bytes:
    """Random bytes in the first 64 bytes, which hold the size and pixel format."""
    mutated = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        mutated[rng.integers(min(64, len(data)))] = rng.integers(256)
    return bytes(mutated)


def append(data: bytes, rng: Rng) -> bytes:
    return data + rng.bytes(rng.integers(1, 300))


def damage_exif(data: bytes, rng: Rng) -> bytes:
    """Random bytes in the EXIF data, if any; its length is unchanged."""
    at = data.find(b"Exif\0\0")
    if at < 0:
        return append(data, rng)
    mutated = bytearray(data)
    for _ in range(rng.integers(1, 8)):
        mutated[at + 6 + rng.integers(20)] = rng.integers(256)
    return bytes(mutated)


HARMLESS, SHORTENED = {"untouched", "append"}, {"cut", "cut_at_the_end", "cut_and_closed", "lose_part"}
MUTATIONS: list[tuple[Callable[[bytes, Rng], bytes], float]] = [
    (cut, 0.12), (cut_at_the_end, 0.06), (cut_and_closed, 0.08), (lose_part, 0.08), (flip, 0.18), (flip_many, 0.08), (blank, 0.08),
    (zeroed, 0.06), (other_end, 0.05), (hole, 0.08), (header, 0.07), (append, 0.03), (damage_exif, 0.03),
]  # fmt: skip


def no_pictures(rng: Rng) -> Iterator[Case]:
    for name, data in {
        "page.jpg": b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n",
        "page.png": b"\r\n<html><body>Please log in</body></html>",
        "drawing.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "empty.jpg": b"",
        "one.jpg": b"\xff",
        "mark.jpg": b"\xff\xd8\xff",
        "marks.jpg": b"\xff\xd8\xff\xd9",
        "zeros.jpg": bytes(5000),
        "noise.jpg": rng.bytes(5000),
        "noise.png": b"\x89PNG\r\n\x1a\n" + rng.bytes(5000),
        "words.gif": b"GIF89a is a format",
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "stub.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "json.jpg": b'{"error": "not found"}',
        "folder.jpg": None,
    }.items():
        yield Case("no picture", name, None, data)


def sized(source: Source, width: int, height: int) -> bytes:
    """The same file with another size in its header."""
    data, w, h = source.data, source.pixels.shape[1], source.pixels.shape[0]
    if source.name.startswith("turned"):
        w, h = Image.open(io.BytesIO(data)).size
    write: Callable[[int, int], bytes] = {
        "JPEG": lambda w, h: struct.pack(">HH", h, w),
        "PNG": lambda w, h: struct.pack(">II", w, h),
        "BMP": lambda w, h: struct.pack("<II", w, h),
        "GIF": lambda w, h: struct.pack("<HH", w, h),
        "PPM": lambda w, h: f"{w} {h}".encode(),
    }[source.kind]
    olds, news = write(w, h), write(width, height)
    mutated = data.replace(olds, news)  # in a GIF both the screen and the frame
    if source.kind == "PNG":
        mutated = mutated[:29] + struct.pack(">I", zlib.crc32(mutated[12:29])) + mutated[33:]
    return mutated


def sizes(made: list[Source], rng: Rng) -> Iterator[Case]:
    """Wrong sizes: zero, huge, width and height swapped, larger, smaller."""
    for source in made:
        if source.kind in ("WEBP", "TIFF"):
            continue
        height, width = source.pixels.shape[:2]
        top = 2**16 - 1 if source.kind in ("JPEG", "GIF") else 10**6
        wanted = [(0, 0), (0, height), (width, 0), (top, top), (30_000, 30_000), (width, height + 32), (width + 32, height), (width, 7)]
        for size in [*wanted, (height, width)]:
            if size != (width, height):
                what = "zero size" if 0 in size else "huge size" if max(size) > 9999 else "wrong size"
                yield Case(what, f"{size[0]}x{size[1]}.{SUFFIX[source.kind]}", source, sized(source, *size))


def cases(number: int, rng: Rng) -> Iterator[Case]:
    """`number` files: fixed cases, every source unchanged under its own and a random extension, and random mutations."""
    made = sources(rng)
    others = list(SUFFIX.values())
    fixed = [*no_pictures(rng), *sizes(made, rng)]
    fixed += [Case("untouched", f"sound.{suffix}", s, s.data) for s in made for suffix in (SUFFIX[s.kind], str(rng.choice(others)))]
    fixed += [Case(lose.__name__, f"less.{SUFFIX[s.kind]}", s, lose(s.data, rng)) for s in made for lose in (lose_part, zeroed)]
    yield from fixed
    shares = [share for _, share in MUTATIONS]
    for i in range(number - len(fixed)):
        source = made[i % len(made)]
        mutation = MUTATIONS[rng.choice(len(MUTATIONS), p=shares)][0]
        yield Case(mutation.__name__, f"{i}.{SUFFIX[source.kind]}", source, mutation(source.data, rng))
