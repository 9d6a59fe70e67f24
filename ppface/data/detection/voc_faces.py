"""Custom faces in Pascal VOC XML, the format of common labelling tools."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.detection.face_table import check_boxes, inside
from ppface.data.loading import label_files
from ppface.data.pictures.picture import Picture

ADVICE = "give the folder of the pictures as `images` and that of the XML files as `annotations`, both under root"


@register("dataset")
class VocFaces:
    """A folder of pictures and a folder with one XML file for each, as of Pascal VOC, http://host.robots.ox.ac.uk/pascal/VOC.

    The XML's `filename` names the picture. Each `object` with a `bndbox` is a face; xmin, ymin, xmax, ymax are its edges.

    Args:
        root: folder that contains both.
        images: folder of the pictures under root.
        annotations: folder of the XML files under root; sorted by name.
        classes: names of the objects that are faces; None: every object.

    Shape:
        sample: picture, gt_boxes (G, 4)

    Raises:
        DataError: a missing or empty folder, broken or incomplete XML, a box that is negative or outside its picture.
    """

    def __init__(self, root: str, images: str = "images", annotations: str = "annotations", classes: list[str] | None = None):
        base = label_files.folder(Path(root), "VocFaces", ADVICE)
        self.images = label_files.folder(base / images, "VocFaces", ADVICE)
        folder = label_files.folder(base / annotations, "VocFaces", ADVICE)
        self.annotations = sorted(folder.glob("*.xml"))
        if not self.annotations:
            raise DataError(f"VocFaces: no XML file in {folder}: {ADVICE}")
        read = [annotation(path, classes) for path in self.annotations]
        self.files, self.boxes = [file for file, _ in read], [boxes for _, boxes in read]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.images / self.files[index])

    def __getitem__(self, index: int) -> dict:
        picture = Picture.open(self.name(index))
        boxes = inside(self.boxes[index], picture, lambda row: f"{self.annotations[index]}: face {row + 1}")
        return {"picture": picture, "gt_boxes": boxes}


def annotation(path: Path, classes: list[str] | None) -> tuple[str, np.ndarray]:
    """File name of the picture and its faces (G, 4); those without width or height are dropped."""
    try:
        tree = ElementTree.fromstring(path.read_bytes())
        file = (tree.findtext("filename") or "").strip()
        objects = [item for item in tree.iter("object") if classes is None or (item.findtext("name") or "").strip() in classes]
        sides = [[float(item.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")] for item in objects]
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path}: expected Pascal VOC XML: {error}") from None
    except ValueError:
        raise DataError(f"{path}: expected numbers as xmin, ymin, xmax and ymax in the bndbox of every object") from None
    if not file:
        raise DataError(f"{path}: expected the name of the picture as 'filename'")
    boxes = np.array(sides, dtype=np.float32).reshape(-1, 4)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    check_boxes(xywh, lambda row: f"{path}: face {row + 1}")
    return file, boxes[(xywh[:, 2:] > 0).all(axis=1)]
