"""Whether the container of a video lacks bytes at its end: a few lost frames are within the error of OpenCV's estimate of their number.

Sources: Advanced Systems Format, https://www.loc.gov/preservation/digital/formats/fdd/fdd000067.shtml (section 3.2 of the specification);
transport and program streams, ITU-T H.222.0, https://www.itu.int/rec/T-REC-H.222.0, sections 2.4.3.2 and 2.5.3; Matroska and WebM,
RFC 8794, https://www.rfc-editor.org/rfc/rfc8794, sections 4 and 11.2; AVI,
https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference; MP4, ISO/IEC 14496-12, section 4.2; Flash video,
https://rtmp.veriskope.com/pdf/video_file_format_spec_v10.pdf, annex E.
"""

import mmap
from pathlib import Path

ASF_START = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # then sizes: of the object (8 bytes), an id (16), of the file (8)
PACKET_SIZES = {188: 0, 192: 4}  # bytes of a packet of a transport stream -> where in it the sync byte is
SYNC, PACKS = 0x47, b"\x00\x00\x01\xba"
BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"free", b"skip", b"wide", b"uuid", b"sidx", b"styp", b"meta", b"udta", b"emsg")
FLASH_TAGS = (8, 9, 18)  # sound, pictures, data
EBML, SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


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
            if data[:4] == PACKS:
                return _packs_lack_bytes(data)
            if data[:4] == EBML:
                return _matroska_lacks_bytes(data)
            if data[:3] == b"FLV":
                return _flash_lacks_bytes(data)
            walks = {b"RIFF": _riff_end, b"ftyp": _boxes_end}
            walk = walks.get(data[:4]) or walks.get(data[4:8])
            return True if walk and walk(data) > len(data) else None  # complete, these may still have fewer frames than they state
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


def _matroska_lacks_bytes(data: mmap.mmap) -> bool | None:
    """.mkv and .webm: the segment, which holds everything after a short header, states its size; not in a live recording."""
    start, header, _ = _variable(data, len(EBML))
    if data[start + header : start + header + 4] != SEGMENT:
        return None
    start, size, known = _variable(data, start + header + len(SEGMENT))
    return start + size > len(data) if known else None


def _variable(data: mmap.mmap, at: int) -> tuple[int, int, bool]:
    """The variable-size number at this place of a Matroska file: (place after it, its value, whether it is one, not "unknown")."""
    length = 9 - data[at].bit_length() if at < len(data) and data[at] else 1
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return at + length, value, value != (1 << 7 * length) - 1


def _flash_lacks_bytes(data: mmap.mmap) -> bool:
    """.flv: every tag states its length and is followed by it."""
    at = int.from_bytes(data[5:9], "big") + 4
    while at + 11 <= len(data) and data[at] & 0x1F in FLASH_TAGS:
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    return at > len(data)


def _riff_end(data: mmap.mmap) -> int:
    """.avi: one chunk, or several in a large file, each of which states its size; 0 or all bits in a live recording."""
    at = 0
    while data[at : at + 4] == b"RIFF" and (size := int.from_bytes(data[at + 4 : at + 8], "little")) not in (0, 0xFFFFFFFF):
        at += 8 + size
    return at


def _boxes_end(data: mmap.mmap) -> int:
    """.mp4 and .mov: a sequence of boxes that state their sizes, 1: in 8 bytes after the type, 0: to the end of the file; telephones write
    more after them."""
    at = 0
    while data[at + 4 : at + 8] in BOXES:
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            break
        at += size
    return at
