"""Pictures that know their size before they are decoded, and that decode whole or not at all."""

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

from ppface.core.errors import DataError
from ppface.data.pictures import container_checks, truncation

MEMORY = 300_000_000  # bytes that the decoding of one picture may take; a header that claims more is taken for a bomb
COST = {"JPEG": 3.2, "WEBP": 18.8, "full": 12.3}  # bytes a pixel beside the file itself, measured; "full": progressive JPEG, or of inks
OTHER_COST, TURNING_COST = 8.8, 3.0
COPIES = {"WEBP": 4, "GIF": 2}  # of the file itself that are held at once; of the others one
FORMATS = ["JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"]  # what is not read: formats whose decoder starts other programs
ROWS = 1 << 20  # pixels that are converted at a time
JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 5 to 8 swap height and width


class Picture:
    """One picture of a data set: its name and size now, its pixels when they are asked for.

    Attributes:
        name: for messages; the path where there is one.
        size: (height, width) in pixels, upright (EXIF orientation applied).
    """

    def __init__(self, name: str, size: tuple[int, int], pixels: np.ndarray | None = None, orientation: int = 1, data: bytes | None = None):
        self.name, self.size = name, size
        self._pixels, self._orientation, self._data = pixels, orientation, data

    @classmethod
    def of(cls, array: np.ndarray, name: str = "array") -> "Picture":
        """A picture that is already decoded: HxWx3 uint8 RGB."""
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            raise DataError(f"{name}: expected HxWx3 uint8 RGB pixels, received shape {array.shape} of {array.dtype}")
        return cls(name, array.shape[:2], pixels=array)

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Picture":
        """A picture file: reads its header only.

        Raises:
            DataError: no such file, not a picture, or a picture too large to be meant.
        """
        name = os.fspath(path)
        with _refusals(name):
            if not stat.S_ISREG(Path(name).stat().st_mode):  # to open a pipe would wait for ever
                raise DataError(f"{name}: a folder or no ordinary file, expected a picture")
            with Path(name).open("rb") as file:
                _begins(file.peek(64), name)
                size, orientation = _header(file, os.fstat(file.fileno()).st_size)
        return cls(name, size, orientation=orientation)

    @classmethod
    def encoded(cls, data: bytes, name: str) -> "Picture":
        """The bytes of a picture file that lie in memory: reads their header only.

        Raises:
            DataError: not a picture, or a picture too large to be meant.
        """
        with _refusals(name):
            _begins(data[:64], name)
            if data.startswith(JPEG_START) and b"Exif\0" not in data:  # Pillow would take half as long as the decoding
                height, width = simplejpeg.decode_jpeg_header(data, strict=False)[:2]  # its oddities are mended later
                size, orientation = _believable(height, width, "JPEG", len(data)), 1
            else:
                size, orientation = _header(io.BytesIO(data), len(data))
        return cls(name, size, orientation=orientation, data=data)

    def decode(self, reduce: int = 1) -> np.ndarray:
        """All pixels as uint8 RGB, `reduce` (1, 2, 4 or 8) times smaller in each direction (rounded up); small JPEGs cost less to decode.

        Shape:
            (ceil(height / reduce), ceil(width / reduce), 3)

        Raises:
            DataError: the file is damaged; never is a part of a picture returned.
        """
        assert reduce in (1, 2, 4, 8), reduce
        if self._pixels is not None:
            return shrink(self._pixels, reduce)
        in_decoder = reduce if self._orientation == 1 else 1  # a turned picture would begin with its partial pixels
        with _refusals(self.name):
            data = Path(self.name).read_bytes() if self._data is None else self._data
            pixels = _jpeg(data, in_decoder) if data.startswith(JPEG_START) else shrink(_pillow(data), in_decoder)
        pixels = shrink(_upright(pixels, self._orientation), reduce // in_decoder)
        expected = tuple(-(-side // reduce) for side in self.size)
        if pixels.shape[:2] != expected:
            raise DataError(f"{self.name}: expected {expected} pixels as its header said, received {pixels.shape[:2]}: did it change?")
        return pixels


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` x `factor` pixels; the last row and column are repeated where a square is not full."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    pixels = cv2.copyMakeBorder(pixels, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    return cv2.resize(pixels, (pixels.shape[1] // factor, pixels.shape[0] // factor), interpolation=cv2.INTER_AREA)


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Whatever a decoder raises on a broken file becomes one line that names the file and the reason."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: no such picture file") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name}: its header claims more pixels than {MEMORY // 10**6} MB can hold: damaged, or a bomb") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{name}: not a picture, or a damaged header; expected one of {', '.join(FORMATS)}") from None
    except IndexError:
        raise DataError(f"{name}: broken picture: cut off before its end") from None
    except Exception as error:  # decoders meet hostile bytes here: any exception of theirs means a broken picture
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{name}: cannot be read: {error.strerror}") from None
        words = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: broken picture: {''.join(c if c.isprintable() else '?' for c in words)}") from None


@contextmanager
def _pillow_opens(file: IO[bytes]) -> Iterator[Image.Image]:
    """Pillow without its warnings of damaged EXIF and large pictures: what matters is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file, formats=FORMATS) as image:
            yield image


def _begins(start: bytes, name: str) -> None:
    """Refuses by its first bytes what is no picture at all."""
    if not start:
        raise DataError(f"{name}: empty, expected a picture")
    if start.lstrip().startswith(b"<"):
        raise DataError(f"{name}: a web page or other markup, expected a picture: was its download refused?")


def _header(file: IO[bytes], length: int) -> tuple[tuple[int, int], int]:
    """Upright (height, width) and EXIF orientation."""
    start = file.read(8)
    file.seek(0)
    if start == PNG_START:
        height, width, data = container_checks.png_header(file)
        orientation, kind = _orientation(lambda: _exif(data)), "PNG"
    else:
        with _pillow_opens(file) as header:
            height, width, kind = header.height, header.width, header.format or ""
            orientation = 1 if kind == "TIFF" else _orientation(header.getexif)  # Pillow turns TIFF itself
    size = _believable(height, width, kind, length, TURNING_COST * (orientation > 1))
    return (size[::-1] if orientation > 4 else size), orientation


def _believable(height: int, width: int, kind: str, length: int, more: float = 0.0) -> tuple[int, int]:
    """(height, width), if a file of that length and kind can be decoded to as many pixels within MEMORY; `more`: further bytes a pixel."""
    if length * COPIES.get(kind, 1) + height * width * (COST.get(kind, OTHER_COST) + more) > MEMORY:
        raise Image.DecompressionBombError
    return height, width


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
    except Exception:  # EXIF is an appendix: its damage does not touch the pixels
        return 1
    return value if value in range(1, 9) else 1


def _jpeg(data: bytes, reduce: int) -> np.ndarray:
    """libjpeg-turbo with its warnings as errors: they are all it says where data is missing and it would fill with grey."""
    data, progressive = container_checks.jpeg(data)
    height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
    inks = colorspace in ("CMYK", "YCCK")
    if progressive or inks:
        _believable(height, width, "full", len(data))
    smaller = {"min_height": -(-height // reduce), "min_width": -(-width // reduce), "min_factor": 1.0}
    pixels = simplejpeg.decode_jpeg(data, "CMYK" if inks else "RGB", **smaller)
    if not inks:
        return pixels
    del pixels  # it was found whole; Pillow knows which way round the writer meant the inks
    return shrink(_pillow(data), reduce)


def _pillow(data: bytes) -> np.ndarray:
    """Any other format: 16 bits a channel keep their upper 8, alpha is dropped, of an animation the first frame is taken."""
    if data.startswith(PNG_START):
        container_checks.png(data)
    pixels, twin = _loaded(data)
    if twin and _loads(twin):
        raise ValueError("its decoder needed less than all of its data: damaged")
    return pixels


def _loaded(data: bytes) -> tuple[np.ndarray, bytes]:
    """The pixels, and a twin that must not load, of the formats that need one."""
    with _pillow_opens(io.BytesIO(data)) as image:
        _believable(image.height, image.width, image.format or "", len(data))
        if image.mode == "F":
            raise ValueError("floating-point pixels, expected 8 or 16 bits a channel")
        if image.format == "TIFF":
            container_checks.tiff(image, data)
        elif image.format in ("BMP", "PPM"):
            container_checks.unmarked(image, data)
        shorten = {"GIF": truncation.gif, "WEBP": truncation.webp}.get(image.format or "")
        twin = shorten(image, data) if shorten else b""
        image.load()
        colours = len(image.getpalette() or ()) // 3 if image.format == "PNG" and image.mode == "P" else 256
        if colours < 256 and any(image.histogram()[colours:]):
            raise ValueError(f"pixels of other colours than the {colours} of its palette")
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        rows = max(1, ROWS // image.width)  # a few at a time: a picture's copies would take more than the picture
        for y in range(0, image.height, rows):
            part = image.crop((0, y, image.width, min(y + rows, image.height)))
            if image.mode.startswith("I"):
                pixels[y : y + rows] = (np.asarray(part).astype(np.int64).clip(0, 65535) >> 8)[:, :, None]
            else:
                pixels[y : y + rows] = np.asarray(part.convert("RGB"))
    return pixels, twin


def _loads(data: bytes) -> bool:
    try:
        with _pillow_opens(io.BytesIO(data)) as image:
            image.load()
    except Exception:  # of whatever kind: decoders meet broken bytes here
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
