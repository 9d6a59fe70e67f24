"""Pictures whose size is known before they are decoded, and which decode completely or raise an error."""

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from ppface.core.errors import ConfigError, DataError
from ppface.core.files.file_names import is_utf8, on_disk
from ppface.data.pictures import container_checks, truncation
from ppface.data.pictures.picture_limit import TooLargeError, check_memory

FORMATS = ["JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"]  # no formats whose decoder starts other programs
PIXELS_AT_ONCE = 1 << 20  # pixels that are converted at a time
JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 5 to 8 swap height and width


class Picture:
    """One picture of a data set: name and size are known at once, the pixels are decoded on demand.

    Attributes:
        name: for messages; the path if it is a file.
        size: (height, width) in pixels, upright (EXIF orientation applied).
        orientation: of the stored pixels, EXIF 1..8; 1 is upright, from 5 on height and width are exchanged.
    """

    def __init__(self, name: str, size: tuple[int, int], pixels: np.ndarray | None = None, orientation: int = 1, data: bytes | None = None):
        self.name, self.size = name, size
        self._pixels, self.orientation, self._data = pixels, orientation, data

    @classmethod
    def of(cls, array: np.ndarray, name: str = "array") -> "Picture":
        """A picture that is already decoded: HxWx3 uint8 RGB.

        Raises:
            DataError: anything else, such as the None that cv2.imread returns for a missing file.
        """
        if not isinstance(array, np.ndarray):
            hint = ": cv2.imread returns None for a file that is missing or no picture" if array is None else ""
            raise DataError(f"{name}: expected HxWx3 uint8 RGB pixels, a NumPy array, received {type(array).__name__}{hint}")
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            raise DataError(f"{name}: expected HxWx3 uint8 RGB pixels, received shape {array.shape} of {array.dtype}")
        return cls(name, array.shape[:2], pixels=array)

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Picture":
        """A picture file: reads its header only.

        Raises:
            DataError: no such file, not a picture, or one too large to decode.
        """
        name = os.fspath(path)
        with _as_data_errors(name):
            file_path = Path(on_disk(name))
            if not stat.S_ISREG(file_path.stat().st_mode):  # opening a pipe would block
                raise DataError(f"{name}: a folder or special file, expected a picture")
            with file_path.open("rb") as file:
                _check_start(file.peek(64), name)
                size, orientation = _header(file, os.fstat(file.fileno()).st_size)
        return cls(name, size, orientation=orientation)

    @classmethod
    def given(cls, image: np.ndarray | str | os.PathLike) -> "Picture":
        """A picture by its pixels or its path; errors as `of` and `open`."""
        return cls.open(image) if isinstance(image, str | os.PathLike) else cls.of(image)

    @classmethod
    def encoded(cls, data: bytes, name: str) -> "Picture":
        """A picture file in memory: reads its header only.

        Raises:
            DataError: not a picture, or one too large to decode.
        """
        with _as_data_errors(name):
            _check_start(data[:64], name)
            if data.startswith(JPEG_START) and b"Exif\0" not in data:  # Pillow needs half the time of decoding for this
                height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]  # format violations are repaired later
                size, orientation = (height, width), 1
                check_memory(size, "JPEG", len(data))
            else:
                size, orientation = _header(io.BytesIO(data), len(data))
        return cls(name, size, orientation=orientation, data=data)

    def decode(self, reduce: int = 1) -> np.ndarray:
        """All pixels as uint8 RGB, `reduce` (1, 2, 4 or 8) times smaller in each direction (rounded up); reduced JPEGs decode faster.

        Shape:
            (ceil(height / reduce), ceil(width / reduce), 3)

        Raises:
            DataError: a damaged file; a part of a picture is never returned.
        """
        assert reduce in (1, 2, 4, 8), reduce
        if self._pixels is not None:
            return shrink(self._pixels, reduce)
        in_decoder = reduce if self.orientation == 1 else 1  # the partial pixels of a rotated picture would come first
        with _as_data_errors(self.name):
            data = Path(on_disk(self.name)).read_bytes() if self._data is None else self._data
            pixels = _jpeg(data, in_decoder) if data.startswith(JPEG_START) else shrink(_pillow(data), in_decoder)
        pixels = shrink(_upright(pixels, self.orientation), reduce // in_decoder)
        expected = tuple(-(-side // reduce) for side in self.size)
        if pixels.shape[:2] != expected:
            raise DataError(f"{self.name}: expected {expected} pixels as in its header, received {pixels.shape[:2]}: was the file changed?")
        return pixels


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` x `factor` pixels; the last row and column are repeated to fill the last squares."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    pixels = cv2.copyMakeBorder(pixels, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    return cv2.resize(pixels, (pixels.shape[1] // factor, pixels.shape[0] // factor), interpolation=cv2.INTER_AREA)


@contextmanager
def _as_data_errors(name: str) -> Iterator[None]:
    """Converts whatever a decoder raises on a broken file to a DataError with one line that names the file and the reason."""
    try:
        yield
    except (DataError, ConfigError):
        raise
    except FileNotFoundError:
        hint = "" if is_utf8(name) else ", and its name is not UTF-8: if a list names it, save that list as UTF-8"
        raise DataError(f"{name}: no such picture file{hint}") from None
    except TooLargeError as error:
        raise DataError(f"{name}: {error}") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{name}: not a picture, or a damaged header; expected one of {', '.join(FORMATS)}") from None
    except IndexError:
        raise DataError(f"{name}: broken picture: truncated") from None
    except Exception as error:  # decoders may raise anything on hostile data
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{name}: cannot be read: {error.strerror}") from None
        words = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: broken picture: {''.join(c if c.isprintable() else '?' for c in words)}") from None


@contextmanager
def _pillow_opens(file: IO[bytes]) -> Iterator[Image.Image]:
    """Opens by Pillow without its warnings of damaged EXIF data and its own limit of pixels, which are checked elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            opened = Image.open(file, formats=FORMATS)
        finally:
            if pixels is not None:  # None: switched off by the program, or for a moment by another thread in here
                Image.MAX_IMAGE_PIXELS = pixels
        with opened as image:
            yield image


def _check_start(start: bytes, name: str) -> None:
    """Rejects data that is not a picture by its first bytes."""
    if not start:
        raise DataError(f"{name}: empty, expected a picture")
    if start.lstrip().startswith(b"<"):
        raise DataError(f"{name}: a web page or other markup, expected a picture: check its download")


def _header(file: IO[bytes], length: int) -> tuple[tuple[int, int], int]:
    """Upright (height, width) and EXIF orientation."""
    start = file.read(8)
    file.seek(0)
    if start == PNG_START:
        height, width, data = container_checks.png_header(file)
        orientation, kind = _orientation(lambda: _exif(data)), "PNG"
    else:
        with _pillow_opens(file) as header:
            height, width, kind = header.height, header.width, _kind(header)
            orientation = 1 if kind == "TIFF" else _orientation(header.getexif)  # Pillow rotates TIFF itself
    size = (height, width)
    check_memory(size, kind, length, orientation > 1)
    return (size[::-1] if orientation > 4 else size), orientation


def _kind(image: Image.Image) -> str:
    """The kind of picture for `check_memory`."""
    if image.format not in ("JPEG", "MPO"):  # MPO: a JPEG of a telephone with further pictures after it, which are not read
        return image.format or ""
    return "full" if image.mode == "CMYK" or "progressive" in image.info else "JPEG"


def _exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def _orientation(exif: Callable[[], Image.Exif]) -> int:
    """EXIF orientation 1..8; a file without one, or with a damaged one, is upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = exif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not affect the pixels
        return 1
    return value if value in range(1, 9) else 1


def _jpeg(data: bytes, reduce: int) -> np.ndarray:
    """Decodes by libjpeg-turbo with warnings as errors: if data is missing, it only warns and fills with grey."""
    data, progressive = container_checks.jpeg(data)
    height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    cmyk = colorspace in ("CMYK", "YCCK")
    if progressive or cmyk:
        check_memory((height, width), "full", len(data))
    smaller = {"min_height": -(-height // reduce), "min_width": -(-width // reduce), "min_factor": 1.0}
    pixels = simplejpeg.decode_jpeg(data, "CMYK" if cmyk else "RGB", **smaller)
    if not cmyk:
        return pixels
    del pixels  # decoded only to detect damage; Pillow knows whether the writer inverted CMYK
    return shrink(_pillow(data), reduce)


def _pillow(data: bytes) -> np.ndarray:
    """Decodes any other format by Pillow: upper 8 of 16 bits per channel, no alpha, the first frame of an animation."""
    if data.startswith(PNG_START):
        container_checks.png(data)
    pixels, truncated = _loaded(data)
    if truncated and _loads(truncated):
        raise ValueError("its decoder did not need all of its data: damaged")
    return pixels


def _loaded(data: bytes) -> tuple[np.ndarray, bytes]:
    """The pixels and, for formats that need this check, a truncated copy that must not load."""
    with _pillow_opens(io.BytesIO(data)) as image:
        check_memory((image.height, image.width), _kind(image), len(data))
        if image.mode == "F":
            raise ValueError("floating-point pixels, expected 8 or 16 bits per channel")
        if image.format == "TIFF":
            container_checks.tiff(image, data)
        elif image.format in ("BMP", "PPM"):
            container_checks.unmarked(image, data)
        truncate = {"GIF": truncation.gif, "WEBP": truncation.webp}.get(image.format or "")
        truncated = truncate(image, data) if truncate else b""
        image.load()
        colours = len(image.getpalette() or ()) // 3 if image.format == "PNG" and image.mode == "P" else 256
        if colours < 256 and any(image.histogram()[colours:]):
            raise ValueError(f"pixels with colours beyond the {colours} of its palette")
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        rows = max(1, PIXELS_AT_ONCE // image.width)  # a few at a time, so that copies need little memory
        for y in range(0, image.height, rows):
            part = image.crop((0, y, image.width, min(y + rows, image.height)))
            if image.mode.startswith("I"):
                pixels[y : y + rows] = (np.asarray(part).astype(np.int64).clip(0, 65535) >> 8)[:, :, None]
            else:
                pixels[y : y + rows] = np.asarray(part.convert("RGB"))
    return pixels, truncated


def _loads(data: bytes) -> bool:
    try:
        with _pillow_opens(io.BytesIO(data)) as image:
            image.load()
    except Exception:  # decoders may raise anything on broken data
        return False
    return True


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation: 2 mirrored, 3 upside down, 4 both, 5 to 8 the same with rows and columns swapped."""
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
