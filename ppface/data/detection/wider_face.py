"""WIDER FACE from its official files."""

from pathlib import Path
from typing import Literal

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.detection.face_table import FaceTable, table
from ppface.data.loading import label_files
from ppface.data.pictures.picture import Picture

ATTRIBUTES = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")  # columns 5 to 10 of a face
ADVICE = (
    "unpack WIDER_train.zip, WIDER_val.zip and wider_face_split.zip of http://shuoyang1213.me/WIDERFACE into root, "
    "or name `images` and `labels` under root"
)


@register("dataset")
class WiderFace:
    """WIDER FACE, Yang et al. 2016, https://arxiv.org/abs/1511.06523, in its official layout, or other data in the same format.

    The label file has, for each picture, its path, the number of faces, and a line `x y w h` for each face, with or without the six
    attributes. If the number is 0, a line of zeros follows. Faces without width or height are dropped, as are `invalid` ones.

    Args:
        root: folder that contains pictures and labels.
        split: selects the files if `images` and `labels` are None.
        images: folder of the pictures under root; None: WIDER_<split>/images.
        labels: label file under root, may be .gz; None: wider_face_split/wider_face_<split>_bbx_gt.txt.
        keep_invalid: keep the faces marked invalid.
        min_size: drop faces whose shorter side is less than this many pixels, >= 0.

    Shape:
        sample: picture, gt_boxes (G, 4), and per face _blur, _expression, _illumination, _invalid, _occlusion, _pose (G,)

    Raises:
        DataError: a missing folder or file, a malformed label file, a box that is negative, not finite or outside its picture.
    """

    def __init__(
        self,
        root: str,
        split: Literal["train", "val"] = "train",
        images: str | None = None,
        labels: str | None = None,
        keep_invalid: bool = False,
        min_size: float = 0.0,
    ):
        base = label_files.folder(Path(root), "WiderFace", ADVICE)
        self.images = label_files.folder(base / (images or f"WIDER_{split}/images"), "WiderFace", ADVICE)
        path = base / (labels or f"wider_face_split/wider_face_{split}_bbx_gt.txt")
        self.faces = parse(label_files.lines(path, "WiderFace", ADVICE), str(path))
        if not keep_invalid and self.faces.rows.shape[1] > 4:
            self.faces.leave_out(self.faces.rows[:, 4 + ATTRIBUTES.index("invalid")] != 0)
        self.faces.leave_out(self.faces.rows[:, 2:4].min(axis=1, initial=np.inf) < min_size)

    def __len__(self) -> int:
        return len(self.faces.names)

    def name(self, index: int) -> str:
        return str(self.images / self.faces.names[index])

    def __getitem__(self, index: int) -> dict:
        picture = Picture.open(self.name(index))
        boxes, rows = self.faces.of(index, picture)
        attributes = {f"_{name}": rows[:, 4 + at].astype(np.int64) for at, name in enumerate(ATTRIBUTES) if rows.shape[1] > 4}
        return {"picture": picture, "gt_boxes": boxes, **attributes}


def parse(lines: list[str], source: str) -> FaceTable:
    """Reads the lines of a bbx_gt.txt.

    Raises:
        DataError: a malformed line; the message names it.
    """
    names: list[str] = []
    counts: list[int] = []
    rows: list[list[float]] = []
    numbers: list[int] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        count = _count(lines, at, source, counts[-1] if counts else 0)
        faces = _faces(lines, at + 2, count, source)
        names.append(lines[at].strip())
        counts.append(count)
        rows += faces
        numbers += range(at + 3, at + 3 + count)
        at += 2 + (count or _zeros(lines, at + 2, source))
    if len({len(row) for row in rows}) > 1:
        rows = [row + [0.0] * (10 - len(row)) for row in rows]
    return table(source, names, counts, rows, numbers)


def _count(lines: list[str], at: int, source: str, before: int) -> int:
    """The number of faces on line `at` + 1 for the picture on line `at`."""
    words = label_files.numbers(lines[at])
    if words is not None and len(words) in (4, 10):
        raise DataError(
            f"{source}:{at + 1}: expected the path of a picture, received a face: the picture before has more than its count of {before}"
        )
    text = lines[at + 1].strip() if at + 1 < len(lines) else "the end of the file"
    if not text.isdecimal():
        raise DataError(f"{source}:{at + 2}: expected the number of faces of {lines[at].strip()}, received {text!r}")
    return int(text)


def _faces(lines: list[str], first: int, count: int, source: str) -> list[list[float]]:
    faces = [label_files.numbers(line) for line in lines[first : first + count]]
    for at, face in enumerate(faces, start=first):
        if face is None or len(face) not in (4, 10):
            raise DataError(
                f"{source}:{at + 1}: expected a face, x y w h with 6 attributes or without, received {lines[at].strip()!r}: "
                f"is the count of {count} on line {first} right?"
            )
    if len(faces) < count:
        raise DataError(f"{source}:{first}: expected {count} faces according to this count, but the file ends after {len(faces)}")
    return [face for face in faces if face is not None]


def _zeros(lines: list[str], at: int, source: str) -> int:
    """Number of placeholder lines of a picture without faces: one of zeros in the official files."""
    face = label_files.numbers(lines[at]) if at < len(lines) else None
    if not face:
        return 0
    if any(face):
        raise DataError(f"{source}:{at + 1}: expected a line of zeros after a count of 0, received {lines[at].strip()!r}")
    return 1
