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
        file: `filename`, as written; empty if it is missing.
        size: (height, width) from `size`; None if absent, or 0 as in some public sets.
        boxes: (G, 4) xmin, ymin, xmax, ymax of the objects with a `bndbox`, as written.
        difficult: (G,) their `difficult` flags.
        names: of all objects, faces or not.
        boxless: faces without a `bndbox`, such as polygons.
        encoding: of the file; names of its pictures may be in it on the disk.
    """

    file: str
    size: tuple[int, int] | None
    boxes: np.ndarray
    difficult: np.ndarray
    names: tuple[str, ...] = ()
    boxless: int = 0
    encoding: str = "utf-8"


def read(path: Path, classes: list[str] | None) -> Annotation:
    """The annotation in this file.

    Args:
        path: an XML file, in UTF-8 or the encoding that it declares.
        classes: names of the objects that are faces; None: every object.

    Raises:
        DataError: not XML, without `filename` and objects, or a side that is not a number.
    """
    try:
        text, encoding = _decoded(path.read_bytes().lstrip())
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path}: expected Pascal VOC XML: {error}") from None
    except (UnicodeError, LookupError, ValueError) as error:
        raise DataError(f"{path}: expected XML in UTF-8, or in the encoding that it declares: {error}; save it as UTF-8") from None
    file = (tree.findtext("filename") or "").strip()
    objects = list(tree.iter("object"))
    if not file and not objects:
        raise DataError(f"{path}: expected the name of the picture as 'filename'")
    names = tuple((item.findtext("name") or "").strip() for item in objects)
    faces = [item for item, name in zip(objects, names, strict=True) if classes is None or name in classes]
    boxed = [item for item in faces if item.find("bndbox") is not None]
    sides = [_numbers(item, "bndbox", SIDES, f"{path}: face {row}") for row, item in enumerate(boxed, start=1)]
    height, width = _numbers(tree, "size", ("height", "width"), f"{path}: size", empty="0")
    size = (round(height), round(width)) if 0.5 < min(height, width) <= max(height, width) < 1e9 else None
    difficult = np.array([(item.findtext("difficult") or "").strip().lower() in ("1", "true") for item in boxed], dtype=bool)
    boxes = np.array(sides, dtype=np.float32).reshape(-1, 4)
    return Annotation(file, size, boxes, difficult, names, len(faces) - len(boxed), encoding)


def _numbers(item: ElementTree.Element, part: str, keys: tuple[str, ...], where: str, empty: str = "") -> list[float]:
    """The numbers under these keys of a part of an element; `empty` is read for one that is missing or empty.

    Raises:
        DataError: another text; the message begins with `where`.
    """
    words = [(item.findtext(f"{part}/{key}") or "").strip() or empty for key in keys]
    try:
        return [float(word) for word in words]
    except ValueError:
        received = ", ".join(f"{key} {word!r}" for key, word in zip(keys, words, strict=True))
        raise DataError(f"{where}: expected numbers as {', '.join(keys)}, received {received}") from None


def _decoded(data: bytes) -> tuple[bytes | str, str]:
    """The text, where the declared encoding is one that the XML parser does not read itself, such as GBK; and its encoding.

    Raises:
        UnicodeError, LookupError, ValueError: another encoding than the declared one, or one that is not known.
    """
    if data.startswith(codecs.BOM_UTF8):  # editors write it when they convert a file, and leave the declaration as it was
        return data.decode("utf-8-sig"), "utf-8"
    declared = DECLARED_ENCODING.match(data)
    name = declared[1].decode().lower() if declared else "utf-8"
    if name in ("utf-16", "us-ascii", "iso-8859-1") or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data, "utf-8"
    name = SUPERSETS.get(name, name)
    return data.decode(name), name


def mistakes(found: Annotation, path: Path) -> list[str]:
    """One message for each box whose corners are not finite or in the wrong order."""
    wrong = ~np.isfinite(found.boxes).all(axis=1) | (found.boxes[:, 2:] < found.boxes[:, :2]).any(axis=1)
    expected = "expected finite xmin ymin xmax ymax with xmin <= xmax and ymin <= ymax"
    return [f"{path}: face {row + 1}: {expected}, received {' '.join(f'{x:g}' for x in found.boxes[row])}" for row in np.flatnonzero(wrong)]
