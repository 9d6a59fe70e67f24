"""Truncated copies of pictures, without the end of their compressed pixels; if such a copy still decodes, the file is damaged.

A decoder of WebP or GIF stops once it has all pixels. It decodes overwritten bytes to other pixels, which may need more or fewer bits: if
bits are missing, it reports an error; it ignores surplus ones. An intact file needs its last bytes. Each function raises ValueError with
the reason, or IndexError if the data ends too early.
"""

import struct
from collections import deque

from PIL import Image

from ppface.data.pictures.container_checks import MAX_CHUNKS, fills

CUT = 8  # bytes; more than encoders write after what the last pixel needs: libwebp at most 3 in 3,000 pictures, libvpx 1
MAX_BLOCKS = 1 << 20  # of the first frame of a GIF; ordinary ones hold 255 bytes each


def webp(image: Image.Image, data: bytes) -> bytes:
    """Only the first frame, truncated."""
    start = 12
    for _ in range(MAX_CHUNKS):
        kind, length = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            packed = memoryview(data)[start + 8 : start + 8 + max(0, length - CUT)]
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
    raise ValueError(f"more than {MAX_CHUNKS} chunks: damaged, or a decompression bomb")


def gif(image: Image.Image, data: bytes) -> bytes:
    """Everything up to the end of the first frame, truncated."""
    _, frame, start, _ = image.tile[0]  # type: ignore[attr-defined]
    fills(image, frame)
    last: deque[int] = deque(maxlen=CUT)  # positions of the blocks that may be cut
    position = start
    for _ in range(MAX_BLOCKS):
        if not data[position]:
            break
        last.append(position)
        position += 1 + data[position]
    else:
        raise ValueError(f"more than {MAX_BLOCKS} blocks of pixels: damaged, or a decompression bomb")
    to_cut = CUT
    for position in reversed(last):
        kept = data[position] - to_cut
        if kept > 0:
            view = memoryview(data)
            return b"".join([view[:position], bytes([kept]), view[position + 1 : position + 1 + kept]])
        to_cut = -kept
    return data[:start]
