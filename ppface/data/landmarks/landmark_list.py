"""Faces with landmarks from one text file."""

from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.landmarks import landmark_face, landmark_file
from ppface.data.loading import label_files

ADVICE = "give the folder of the pictures as `images` and the list as `labels`, both under root"


@register("dataset")
class LandmarkList:
    """Pictures of one face each: a line `name x1 y1 x2 y2 ...` a picture, in pixels.

    Source: the lists of 68 points in the order of 300-W, Sagonas et al. 2016, https://doi.org/10.1016/j.imavis.2016.01.002.

    Args:
        root: folder that contains pictures and list.
        labels: the list, may be .gz.
        images: folder of the pictures.
        points: landmarks that every line must have; None: as many as the first line.

    Shape:
        sample: picture, gt_boxes (1, 4) around the landmarks, gt_landmarks (1, K, 2)

    Raises:
        DataError: a missing folder or file, a malformed line, another number of landmarks, landmarks far outside their picture.
    """

    def __init__(self, root: str, labels: str, images: str = "images", points: int | None = None):
        base = label_files.folder(Path(root), "LandmarkList", ADVICE)
        self.images = label_files.folder(base / images, "LandmarkList", ADVICE)
        names, self.points = landmark_file.read(base / labels, counts=None)
        self.names = label_files.local(names, self.images)
        if points is not None and self.points.shape[1] != points:
            raise DataError(f"{base / labels}: expected {points} landmarks a line, received {self.points.shape[1]}")

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return str(self.images / self.names[index])

    def __getitem__(self, index: int) -> dict:
        return landmark_face.sample(self.name(index), self.points[index])
