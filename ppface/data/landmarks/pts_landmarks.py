"""Faces with landmarks in .pts files beside their pictures, as 300-W has them."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.landmarks import landmark_face
from ppface.data.loading import label_files
from ppface.data.pictures import picture_files

ADVICE = "expected a folder of pictures, each with a .pts file of the same name beside it"


@register("dataset")
class PtsLandmarks:
    """300-W, Sagonas et al. 2016, https://doi.org/10.1016/j.imavis.2016.01.002, or other data in its layout: a/b.jpg with a/b.pts.

    A .pts file has the lines `version: 1`, `n_points: K`, `{`, K lines `x y` in pixels counted from 1, and `}`. Pictures without one are
    left out.

    Args:
        root: folder of pictures and .pts files, searched with its subfolders.
        folders: subfolders of root that are used, such as [afw, helen/trainset, lfpw/trainset]; None: all.

    Shape:
        sample: picture, gt_boxes (1, 4) around the landmarks, gt_landmarks (1, K, 2), counted from 0

    Raises:
        DataError: a missing folder, none of these files, two pictures of one .pts file, malformed files, files of different numbers of
            points (all of a kind listed together), landmarks far outside their picture.
    """

    def __init__(self, root: str, folders: list[str] | None = None):
        base = label_files.folder(Path(root), "PtsLandmarks", ADVICE)
        parts = [label_files.folder(base / folder, "PtsLandmarks", ADVICE) for folder in folders or ["."]]
        found = [part / file for part in parts for file in picture_files.find(part).files]
        self.files = [file for file in found if file.with_suffix(".pts").is_file()]
        if not self.files:
            raise DataError(f"PtsLandmarks: no picture with a .pts file in {base}: {ADVICE}")
        labels = [file.with_suffix(".pts") for file in self.files]
        label_files.refuse(
            f"{file}: the file of {one} and of {other}: remove one of these pictures"
            for file, one, other in zip(labels[1:], self.files, self.files[1:], strict=False)
            if one.with_suffix(".pts") == file
        )
        points = label_files.read_all(lambda i: read(labels[i]), len(labels))
        label_files.refuse(
            f"{file}: expected {len(points[0])} points as in the files before, received {len(one)}"
            for file, one in zip(labels, points, strict=True)
            if len(one) != len(points[0])
        )
        self.points = np.stack(points)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.files[index])

    def __getitem__(self, index: int) -> dict:
        return landmark_face.sample(self.name(index), self.points[index])


def read(path: Path) -> np.ndarray:
    """The points of a .pts file, counted from 0.

    Shape:
        -> (K, 2)

    Raises:
        DataError: a malformed file, or one with another number of points than it says.
    """
    lines = [line.strip() for line in label_files.lines(path, "PtsLandmarks", ADVICE) if line.strip()]
    stated = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
    if "{" not in lines or lines[-1] != "}" or not stated.get("n_points", "").isdecimal():
        raise DataError(
            f"{path}: expected the lines 'version: 1', 'n_points: K', '{{', one 'x y' a point, '}}'; received {lines[0][:60]!r}"
        )
    given = lines[lines.index("{") + 1 : -1]
    rows = [label_files.numbers(line) for line in given]
    if len(rows) != int(stated["n_points"]):
        raise DataError(f"{path}: expected {stated['n_points']} points, as n_points says, received {len(rows)}")
    if not rows:
        raise DataError(f"{path}: expected at least one point, received none")
    for line, row in zip(given, rows, strict=True):
        if row is None or len(row) != 2 or not np.isfinite(row).all():
            raise DataError(f"{path}: expected two finite numbers a point, x and y, received {line[:60]!r}")
    return np.array(rows, np.float64) - 1
