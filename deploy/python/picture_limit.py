"""The limit of the memory that decoding one picture may take, as in training; the environment variable PPFACE_PICTURE_MB raises it."""

import io
import math
import os
import warnings

from PIL import Image  # comes with paddle; OpenCV cannot read a header alone

VARIABLE, DEFAULT_MB = "PPFACE_PICTURE_MB", 300.0
# as measured for the decoders of training, so that both accept the same pictures; OpenCV takes 6.2 of a JPEG, of others no more than these
BYTES_PER_PIXEL = {"JPEG": 3.2, "WEBP": 18.8, "full": 12.3}
OTHER_BYTES_PER_PIXEL, ROTATION_BYTES_PER_PIXEL = 8.8, 3.0
COPIES = {"WEBP": 4, "GIF": 2}
FORMATS = ["JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP"]
ORIENTATION = 0x0112  # EXIF tag; 1 is upright


class MediaError(Exception):
    """An input or output that cannot be used. The message is one line for the user."""

    exit_code = 3


def check_picture(data: bytes, name: str) -> None:
    """Checks the header of a picture file against the limit.

    Raises:
        MediaError: not a picture, or one that takes more memory than the limit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF data
        pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # Pillow's own limit, of pixels
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Exception:  # Pillow may raise anything on a broken header
            raise MediaError(f"{name}: not a picture, or a damaged header; expected one of {', '.join(FORMATS)}") from None
        finally:
            if pixels is not None:
                Image.MAX_IMAGE_PIXELS = pixels
        try:
            turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in range(2, 9)
        except Exception:  # damaged EXIF data does not affect the pixels
            turned = False
    kind = image.format or ""
    if kind in ("JPEG", "MPO"):  # MPO: a JPEG of a telephone with further pictures after it, which are not read
        kind = "full" if image.mode == "CMYK" or "progressive" in image.info else "JPEG"
    check_memory(name, (image.height, image.width), kind, len(data), turned)


def check_memory(name: str, size: tuple[int, int], kind: str, length: int, turned: bool = False) -> None:
    """Raises MediaError if decoding a picture or frame of this size (height, width) takes more memory than the limit.

    Args:
        name: for the message.
        size: in pixels.
        kind: format by Pillow's name; "full" for a progressive or CMYK JPEG.
        length: of the file in bytes.
        turned: whether EXIF orientation is applied to the pixels.
    """
    height, width = size
    per_pixel = BYTES_PER_PIXEL.get(kind, OTHER_BYTES_PER_PIXEL) + ROTATION_BYTES_PER_PIXEL * turned
    needed, limit = (length * COPIES.get(kind, 1) + height * width * per_pixel) / 1e6, _limit_mb()
    if needed > limit:
        takes = f"{width}x{height} pixels ({height * width / 1e6:.0f} megapixels) take {math.ceil(needed)} MB to decode"
        advice = f"if it is meant to be this large, set the environment variable {VARIABLE}={math.ceil(needed)}"
        raise MediaError(f"{name}: {takes}, the limit is {limit:g} MB: {advice}; otherwise it is damaged or a decompression bomb")


def _limit_mb() -> float:
    text = os.environ.get(VARIABLE)
    try:
        value = float(text or DEFAULT_MB)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise MediaError(f"environment variable {VARIABLE}: expected a number of megabytes above 0, received {text!r}")
    return value
