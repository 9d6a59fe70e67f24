"""The limit of the memory that decoding one picture may take; the environment variable PPFACE_PICTURE_MB raises it."""

import math
import os

from ppface.core.errors import ConfigError

VARIABLE = "PPFACE_PICTURE_MB"  # deploy/python/picture_limit.py applies the same limit
DEFAULT_MB = 300.0
BYTES_PER_PIXEL = {"JPEG": 3.2, "WEBP": 18.8, "full": 12.3}  # of decoding, without the file, measured; "full": progressive or CMYK JPEG
OTHER_BYTES_PER_PIXEL, ROTATION_BYTES_PER_PIXEL = 8.8, 3.0
COPIES = {"WEBP": 4, "GIF": 2}  # of the file in memory at once; 1 for other formats


class TooLargeError(Exception):
    """A picture beyond the limit. The message says its size, what it takes, the limit and how to raise it; the reader adds the name."""


def limit_mb() -> float:
    """The limit in megabytes.

    Raises:
        ConfigError: PPFACE_PICTURE_MB is not a number above 0.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return DEFAULT_MB
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ConfigError([f"environment variable {VARIABLE}: expected a number of megabytes above 0, received {text!r}"])
    return value


def check_memory(size: tuple[int, int], kind: str, length: int, rotated: bool = False) -> None:
    """Raises TooLargeError if decoding takes more memory than the limit.

    Args:
        size: (height, width) in the header.
        kind: the format by Pillow's name; "full" for a progressive or CMYK JPEG.
        length: of the file in bytes.
        rotated: whether EXIF orientation is applied to the pixels.
    """
    height, width = size
    per_pixel = BYTES_PER_PIXEL.get(kind, OTHER_BYTES_PER_PIXEL) + ROTATION_BYTES_PER_PIXEL * rotated
    needed, limit = (length * COPIES.get(kind, 1) + height * width * per_pixel) / 1e6, limit_mb()
    if needed > limit:
        takes = f"{width}x{height} pixels ({height * width / 1e6:.0f} megapixels) take {math.ceil(needed)} MB to decode"
        advice = f"if it is meant to be this large, set the environment variable {VARIABLE}={math.ceil(needed)}"
        raise TooLargeError(f"{takes}, the limit is {limit:g} MB: {advice}; otherwise it is damaged or a decompression bomb")
