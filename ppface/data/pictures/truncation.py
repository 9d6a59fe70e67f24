"""Twins of pictures without the end of their packed pixels, which must not decode any more.

A decoder of WebP or GIF stops where it has all pixels. Of bytes that were overwritten it makes other pixels, from more bits or from fewer:
where there are too few, it says so; at a rest it does not look. Of a sound file the last bytes are needed. Each function raises ValueError
with the reason, or IndexError where the bytes end too early.
"""

import struct
from collections import deque

from PIL import Image

from ppface.data.pictures.container_checks import CHUNKS, fills

SPARE = 8  # bytes; more than encoders leave behind what the last pixel needs: libwebp at most 3 in 3,000 pictures, libvpx 1
BLOCKS = 1 << 20  # of the first frame of a GIF; of ordinary ones each holds 255 bytes


def webp(image: Image.Image, data: bytes) -> bytes:
    """The first frame alone, shortened."""
    start = 12
    for _ in range(CHUNKS):
        kind, length = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            packed = memoryview(data)[start + 8 : start + 8 + max(0, length - SPARE)]
            odd = len(packed) % 2
            head = b"RIFF" + struct.pack("<I", 12 + len(packed) + odd) + b"WEBP" + kind + struct.pack("<I", len(packed))
            return b"".join([head, packed, bytes(odd)])
        if kind == b"ANMF":
            left, top, width, height = (int.from_bytes(data[i : i + 3], "little") for i in range(start + 8, start + 20, 3))
            fills(image, (2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1))
            start += 24  # the chunks of the frame follow
        elif not kind:
            raise IndexError
        else:
            start += 8 + length + length % 2
    raise ValueError(f"more than {CHUNKS} chunks: damaged, or a bomb")


def gif(image: Image.Image, data: bytes) -> bytes:
    """All up to the end of the first frame, shortened."""
    _, frame, start, _ = image.tile[0]  # type: ignore[attr-defined]
    fills(image, frame)
    last: deque[int] = deque(maxlen=SPARE)  # positions of as many blocks as may be concerned
    position = start
    for _ in range(BLOCKS):
        if not data[position]:
            break
        last.append(position)
        position += 1 + data[position]
    else:
        raise ValueError(f"more than {BLOCKS} blocks of pixels: damaged, or a bomb")
    spare = SPARE
    for position in reversed(last):
        kept = data[position] - spare
        if kept > 0:
            view = memoryview(data)
            return b"".join([view[:position], bytes([kept]), view[position + 1 : position + 1 + kept]])
        spare = -kept
    return data[:start]
