"""WFLW from its official lists."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.data.landmarks import landmark_face, landmark_file
from ppface.data.loading import label_files

POINTS, NUMBERS = 98, 2 * 98 + 4 + 6
BOX = slice(2 * POINTS, 2 * POINTS + 4)
ADVICE = (
    "unpack WFLW_images.tar.gz and WFLW_annotations.tar.gz of https://wywu.github.io/projects/LAB/WFLW.html into root, "
    "and give a list such as list_98pt_rect_attr_train.txt as `labels`, under root"
)


@register("dataset")
class WFLW:
    """98 landmarks, a box and six attributes a face, Wu et al. 2018, https://arxiv.org/abs/1805.10483.

    A line has 196 coordinates, the box x1 y1 x2 y2, six attributes (0 or 1) and the picture's path: 207 columns. A picture with several
    faces has several lines, each of which is a sample of its own. A face whose box has no area gets the box of its landmarks; one log line
    counts them.

    Args:
        root: folder that contains pictures and list.
        labels: the list, may be .gz.
        images: folder of the pictures.

    Shape:
        sample: picture, gt_boxes (1, 4), gt_landmarks (1, 98, 2), attributes (6,) in the order of `attribute_names`

    Raises:
        DataError: a missing folder or file, a malformed line, a path outside the folder, landmarks far outside their picture.
    """

    attribute_names = ("pose", "expression", "illumination", "make_up", "occlusion", "blur")

    def __init__(self, root: str, labels: str = "list_98pt_rect_attr_train.txt", images: str = "WFLW_images"):
        base = label_files.folder(Path(root), "WFLW", ADVICE)
        self.images = label_files.folder(base / images, "WFLW", ADVICE)
        path = base / labels
        names: list[str] = []
        rows = []
        for at, line in enumerate(label_files.lines(path, "WFLW", ADVICE), start=1):
            if not line.strip():
                continue
            words = line.split(maxsplit=NUMBERS)
            values = label_files.numbers(" ".join(words[:NUMBERS]))
            if len(words) != NUMBERS + 1 or values is None or not np.isfinite(values).all():
                raise DataError(
                    f"{path}:{at}: expected {NUMBERS} numbers (98 landmarks, box, 6 attributes) and a path, received {line[:60]!r}"
                )
            landmark_file.check_name(words[NUMBERS].strip(), f"{path}:{at}")
            rows.append(values)
            names.append(words[NUMBERS].strip())
        self.names = label_files.local(names, self.images)
        self.rows = np.array(rows, np.float64).reshape(-1, NUMBERS)
        wrong = np.flatnonzero(~np.isin(self.rows[:, -6:], (0, 1)).all(axis=1))
        if len(wrong):
            received = self.rows[wrong[0], -6:].tolist()
            raise DataError(f"{path}: {self.names[wrong[0]]}: expected attributes of 0 or 1, received {received}")
        boxes = self.rows[:, BOX]
        self.boxless: np.ndarray = np.any(boxes[:, 2:] <= boxes[:, :2], axis=1)
        if count := int(self.boxless.sum()):
            example = self.names[int(np.argmax(self.boxless))]
            log.warning("%s: %d of %d faces have no box, the first in %s: they get their landmarks' box", path, count, len(boxes), example)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return str(self.images / self.names[index])

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        box = None if self.boxless[index] else row[BOX]
        made = landmark_face.sample(self.name(index), row[: 2 * POINTS].reshape(POINTS, 2), box)
        return {**made, "attributes": row[-6:].astype(bool)}
