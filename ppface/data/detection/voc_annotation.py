"""Parses one Pascal VOC annotation."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from ppface.core.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")
DECLARED_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030"}  # files declared as the smaller sets often contain characters of the larger one


class Annotation(NamedTuple):
    """What one XML file says.

    Attributes:
        file: `filename`, as written.
        size: (height, width) from `size`; None if absent, or 0 as in some public sets.
        boxes: (G, 4) xmin, ymin, xmax, ymax of the objects with a `bndbox`, as written.
        difficult: (G,) their `difficult` flags.
    """

    file: str
    size: tuple[int, int] | None
    boxes: np.ndarray
    difficult: np.ndarray


def read(path: Path, classes: list[str] | None) -> Annotation:
    """The annotation in this file.

    Args:
        path: an XML file, in UTF-8 or the encoding that it declares.
        classes: names of the objects that are faces; None: every object.

    Raises:
        DataError: not XML, without `filename`, or a side of a box that is not a number.
    """
    try:
        tree = ElementTree.fromstring(_decoded(path.read_bytes().lstrip()))
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path}: expected Pascal VOC XML: {error}") from None
    except (UnicodeError, LookupError, ValueError) as error:
        raise DataError(f"{path}: expected XML in UTF-8, or in the encoding that it declares: {error}; save it as UTF-8") from None
    file = (tree.findtext("filename") or "").strip()
    if not file:
        raise DataError(f"{path}: expected the name of the picture as 'filename'")
    faces = [item for item in tree.iter("object") if classes is None or (item.findtext("name") or "").strip() in classes]
    faces = [item for item in faces if item.find("bndbox") is not None]
    try:
        sides = [[float(item.findtext(f"bndbox/{side}") or "") for side in SIDES] for item in faces]
        height, width = (float(tree.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError:
        raise DataError(f"{path}: expected numbers as xmin, ymin, xmax and ymax of every bndbox, and as width and height of size") from None
    size = (round(height), round(width)) if 0.5 < min(height, width) <= max(height, width) < 1e9 else None
    difficult = np.array([(item.findtext("difficult") or "").strip().lower() in ("1", "true") for item in faces], dtype=bool)
    return Annotation(file, size, np.array(sides, dtype=np.float32).reshape(-1, 4), difficult)


def _decoded(data: bytes) -> bytes | str:
    """The text, where the declared encoding is one that the XML parser does not read itself, such as GBK.

    Raises:
        UnicodeError, LookupError, ValueError: another encoding than the declared one, or one that is not known.
    """
    if data.startswith(codecs.BOM_UTF8):  # editors write it when they convert a file, and leave the declaration as it was
        return data.decode("utf-8-sig")
    declared = DECLARED_ENCODING.match(data)
    name = declared[1].decode().lower() if declared else "utf-8"
    if name in ("utf-16", "us-ascii", "iso-8859-1") or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data
    return data.decode(SUPERSETS.get(name, name))


def mistakes(found: Annotation, path: Path) -> list[str]:
    """One message for each box whose corners are not finite or in the wrong order."""
    wrong = ~np.isfinite(found.boxes).all(axis=1) | (found.boxes[:, 2:] < found.boxes[:, :2]).any(axis=1)
    expected = "expected finite xmin ymin xmax ymax with xmin <= xmax and ymin <= ymax"
    return [f"{path}: face {row + 1}: {expected}, received {' '.join(f'{x:g}' for x in found.boxes[row])}" for row in np.flatnonzero(wrong)]
