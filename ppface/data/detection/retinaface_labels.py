"""Faces with five landmarks from label files in the format of RetinaFace."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.detection.face_table import FaceTable, table
from ppface.data.landmarks.landmark_face import check_inside
from ppface.data.loading import label_files
from ppface.data.pictures.picture import Picture

COLUMNS = 4 + 5 * 3  # x y w h and five times x, y, flag; a last column, the blur, may follow
ADVICE = "give the folder of the pictures as `images` and the annotation, for instance label.txt, as `labels`, both under root"


@register("dataset")
class RetinaFaceLabels:
    """Labels with landmarks as published with RetinaFace, Deng et al. 2020, https://arxiv.org/abs/1905.00641.

    `# path` begins a picture; each line after it is a face: `x y w h`, five times `x y flag` (eyes, nose, corners of the mouth; the eye at
    the left of the picture first), and optionally the blur. A flag of -1 means that the face has no landmarks; lines may end after x y w h.

    Args:
        root: folder that contains pictures and labels.
        labels: label file under root, may be .gz.
        images: folder of the pictures under root.
        min_size: drop faces whose shorter side is less than this many pixels, >= 0.

    Shape:
        sample: picture, gt_boxes (G, 4), gt_landmarks (G, 5, 2), gt_has_landmarks (G,); without the last two if no face of the file has any

    Raises:
        DataError: a missing folder or file, a malformed label file, a box that is negative, not finite or outside its picture.
    """

    def __init__(self, root: str, labels: str = "label.txt", images: str = "images", min_size: float = 0.0):
        base = label_files.folder(Path(root), "RetinaFaceLabels", ADVICE)
        self.images = label_files.folder(base / images, "RetinaFaceLabels", ADVICE)
        path = base / labels
        self.faces = parse(label_files.lines(path, "RetinaFaceLabels", ADVICE), str(path))
        self.faces.names = label_files.local(self.faces.names, self.images)
        known = (self.faces.rows[:, 6:COLUMNS:3] != -1).all(axis=1)
        self.labelled = not len(known) or bool(known.any())
        self.faces.leave_out(self.faces.rows[:, 2:4].min(axis=1, initial=np.inf) < min_size)

    def __len__(self) -> int:
        return len(self.faces.names)

    def name(self, index: int) -> str:
        return str(self.images / self.faces.names[index])

    def __getitem__(self, index: int) -> dict:
        picture = Picture.open(self.name(index))
        boxes, rows = self.faces.of(index, picture)
        if not self.labelled:  # so that what learns landmarks finds none, instead of learning nothing
            return {"picture": picture, "gt_boxes": boxes}
        points = rows[:, 4:COLUMNS].reshape(len(rows), 5, 3)
        labelled = (points[:, :, 2] != -1).all(axis=1)
        landmarks = np.where(labelled[:, None, None], points[:, :, :2], 0).astype(np.float32)
        for face in np.flatnonzero(labelled):
            check_inside(landmarks[face], picture, self.faces.where(int(self.faces.first[index] + face)))
        return {"picture": picture, "gt_boxes": boxes, "gt_landmarks": landmarks, "gt_has_landmarks": labelled}


def parse(lines: list[str], source: str) -> FaceTable:
    """Reads the lines of a label.txt.

    Raises:
        DataError: a malformed line; the message names it.
    """
    names: list[str] = []
    counts: list[int] = []
    rows, numbers = [], []
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            names.append(line[1:].strip())
            counts.append(0)
        elif line.strip():
            rows.append(_face(line, f"{source}:{number}", bool(names)))
            numbers.append(number)
            counts[-1] += 1
    rows = rows or [[0.0] * COLUMNS][:0]
    faces = table(source, names, counts, rows, numbers)
    if not rows:
        faces.rows = np.zeros((0, COLUMNS), np.float32)
    landmarks = faces.rows[:, 4:COLUMNS]
    wrong = ~np.isfinite(landmarks).all(axis=1)
    if wrong.any():
        raise DataError(f"{faces.where(int(np.argmax(wrong)))}: expected landmarks of finite numbers")
    return faces


def _face(line: str, where: str, in_picture: bool) -> list[float]:
    values = label_files.numbers(line)
    if values is None or len(values) not in (4, COLUMNS, COLUMNS + 1):
        raise DataError(f"{where}: expected '# path', or a face of 4, {COLUMNS} or {COLUMNS + 1} numbers, received {line.strip()[:60]!r}")
    if not in_picture:
        raise DataError(f"{where}: expected '# path' of a picture before its first face")
    return values[:COLUMNS] if len(values) > 4 else values + [-1.0] * (COLUMNS - 4)
