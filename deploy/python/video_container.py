"""Whether the container of a video lacks bytes at its end, for containers whose number of frames OpenCV does not know.

Sources: Advanced Systems Format, https://www.loc.gov/preservation/digital/formats/fdd/fdd000067.shtml (section 3.2 of the specification);
transport and program streams, ITU-T H.222.0, https://www.itu.int/rec/T-REC-H.222.0, sections 2.4.3.2 and 2.5.3.
"""

import mmap
from pathlib import Path

ASF_START = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # then sizes: of the object (8 bytes), an id (16), of the file (8)
PACKET_SIZES = {188: 0, 192: 4}  # bytes of a packet of a transport stream -> where in it the sync byte is
SYNC, PACKS = 0x47, b"\x00\x00\x01\xba"


def lacks_bytes(file: Path) -> bool | None:
    """Whether a complete file would be longer; None for another container, or a file that cannot be read.

    A transport or program stream that ends between two packets looks complete: nothing in it states its length.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:16] == ASF_START:
                return _asf_lacks_bytes(data)
            for size, at in PACKET_SIZES.items():
                if len(data) > 2 * size + at and all(data[place * size + at] == SYNC for place in range(3)):
                    return len(data) % size != 0
            return _packs_lack_bytes(data) if data[:4] == PACKS else None
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


def _asf_lacks_bytes(data: mmap.mmap) -> bool:
    """.wmv and .asf: the header states the size of the file; 0 in a live recording."""
    at = data.find(ASF_PROPERTIES, 0, 1 << 20)
    return at >= 0 and int.from_bytes(data[at + 40 : at + 48], "little") > len(data)


def _packs_lack_bytes(data: mmap.mmap) -> bool:
    """.mpg and .vob: every packet states its length; the last one must be complete."""
    at = 0
    while at + 4 <= len(data) and data[at : at + 3] == PACKS[:3]:
        kind, head = data[at + 3], data[at + 4 : at + 14]
        if kind == 0xB9:  # the end, which few writers mark
            return False
        if kind < 0xBA:
            return False  # not between packets: nothing is known
        if kind > 0xBA:
            at += 6 + int.from_bytes(head[:2], "big") if len(head) >= 2 else 6
        elif head[:1] and head[0] >> 6 == 1:  # MPEG-2, with stuffing
            at += 14 + (head[9] & 7 if len(head) == 10 else 0)
        else:  # MPEG-1
            at += 12
    return at > len(data)
