"""Custom faces in Pascal VOC XML, the format of common labelling tools."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.data.detection import voc_annotation
from ppface.data.detection.face_table import inside
from ppface.data.detection.label_frame import frame, to_upright
from ppface.data.detection.picture_lookup import PictureLookup
from ppface.data.detection.voc_annotation import Annotation
from ppface.data.loading import label_files
from ppface.data.pictures.picture import Picture

ADVICE = "give the folder of the pictures as `images` and that of the XML files as `annotations`, both under root"


@register("dataset")
class VocFaces:
    """A folder of pictures and a folder with one XML file for each, as of Pascal VOC, http://host.robots.ox.ac.uk/pascal/VOC.

    The XML's `filename` names the picture; where no such file exists, its last part, then the XML's own name with the ending of a picture
    are tried. Each `object` with a `bndbox` is a face; xmin, ymin, xmax, ymax are its edges, those without width or height are dropped.

    Where `size` is not the size of the upright picture, the boxes are converted: from the stored pixels of a turned photograph (EXIF
    orientation), or by scaling from a picture of the same shape. A `size` of 0 is ignored, and the boxes are in the upright picture.

    Args:
        root: folder that contains both.
        images: folder of the pictures under root.
        annotations: folder of the XML files under root, sorted by name; hidden files are left out.
        classes: names of the objects that are faces; None: every object.
        keep_difficult: whether objects marked `difficult` are faces like others; else nothing is trained on them, and evaluators ignore
            them, as VOC's protocol does.

    Shape:
        sample: picture, gt_boxes (G, 4), _ignored_boxes (I, 4)

    Raises:
        DataError: a missing or empty folder, a missing picture, broken or incomplete XML, `classes` that no object has, a box that is
            reversed or outside its picture, or a `size` of another shape than the picture.
    """

    def __init__(
        self,
        root: str,
        images: str = "images",
        annotations: str = "annotations",
        classes: list[str] | None = None,
        keep_difficult: bool = False,
    ):
        base = label_files.folder(Path(root), "VocFaces", ADVICE)
        self._classes = classes
        self.images = label_files.folder(base / images, "VocFaces", ADVICE)
        folder = label_files.folder(base / annotations, "VocFaces", ADVICE)
        files = [path for path in folder.iterdir() if path.suffix.lower() == ".xml" and not path.name.startswith(".")]
        self.annotations = sorted(files, key=lambda path: os.fsencode(path.name))
        if not self.annotations:
            raise DataError(f"VocFaces: no XML file in {folder}: {ADVICE}")
        read = label_files.read_all(lambda index: voc_annotation.read(self.annotations[index], classes), len(self.annotations))
        label_files.refuse(
            [line for found, path in zip(read, self.annotations, strict=True) for line in voc_annotation.mistakes(found, path)]
        )
        _check_objects(read, self.annotations, classes)
        self.files = self._files(read)
        self.boxes, self.ignored = [], []
        self._sizes: dict[int, tuple[int, int]] = {}  # of pictures whose annotation states a size
        for boxes, found in zip(self._upright(read), read, strict=True):
            real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            counted = real & (keep_difficult | ~found.difficult)
            self.boxes.append(boxes[counted])
            self.ignored.append(boxes[real & ~counted])

    @property
    def class_names(self) -> list[str] | None:
        """One class, by the names of its objects, so that runs are not resumed with others; None for all objects."""
        return None if self._classes is None else [" or ".join(sorted(set(self._classes)))]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.images / self.files[index])

    def __getitem__(self, index: int) -> dict:
        picture = Picture.open(self.name(index))
        if (size := self._sizes.get(index, picture.size)) != picture.size:  # then the boxes are in the pixels of another picture
            received = f"received {picture.size[1]}x{picture.size[0]}: the file was replaced after the data set was opened"
            raise DataError(f"{self.name(index)}: expected {size[1]}x{size[0]} pixels, {received}")
        boxes = inside(self.boxes[index], picture, lambda row: f"{self.annotations[index]}: face {row + 1}")
        ignored = inside(self.ignored[index], picture, lambda row: f"{self.annotations[index]}: difficult face {row + 1}")
        return {"picture": picture, "gt_boxes": boxes, "_ignored_boxes": ignored}

    def _files(self, read: list[Annotation]) -> list[str]:
        """Names of the pictures, under the folder of pictures."""
        lookup = PictureLookup(self.images)
        files = [lookup.find(found.file, path.stem, found.encoding) for found, path in zip(read, self.annotations, strict=True)]
        tried = f"in {self.images}, nor exactly one named as its last part or as the XML file, with any ending"
        label_files.refuse(
            f"{path}: filename {found.file}: no such picture {tried}"
            for found, path, file in zip(read, self.annotations, files, strict=True)
            if file is None
        )
        return self._once([file for file in files if file is not None])

    def _once(self, files: list[str]) -> list[str]:
        """The same, with a warning of pictures that several annotations name: in a renamed set, the boxes are those of other pictures."""
        first: dict[str, Path] = {}
        again = [(file, path) for file, path in zip(files, self.annotations, strict=True) if first.setdefault(file, path) != path]
        if again:
            file, path = again[0]
            log.warning(
                "%s: %d annotations name a picture that another one names too; the first is %s, with %s: %s; is its filename right?",
                self.images,
                len(again),
                path.name,
                first[file].name,
                file,
            )
        return files

    def _upright(self, read: list[Annotation]) -> list[np.ndarray]:
        """The boxes in pixels of the upright pictures."""
        mistakes: list[str] = []
        scaled = turned = unclear = 0
        boxes = [found.boxes for found in read]
        for index, found in enumerate(read):
            if found.size is None or not len(found.boxes):
                continue
            try:
                picture = Picture.open(self.name(index))
            except DataError:  # reported when it is read, and allowed by train.broken_share
                continue
            labels = frame(found.size, picture)
            unclear += picture.orientation > 1 and (picture.orientation < 5 or picture.size[0] == picture.size[1])
            if labels is None:
                (height, width), (has_height, has_width) = found.size, picture.size
                sizes = f"expected the size of its picture, {has_width}x{has_height}, or a multiple, received {width}x{height}"
                mistakes.append(f"{self.annotations[index]}: size: {sizes}: label {self.name(index)} again, or remove the size")
                continue
            scaled += labels.scale != (1.0, 1.0)
            turned += labels.turned
            boxes[index] = to_upright(found.boxes, labels, picture)
            self._sizes[index] = picture.size
        label_files.refuse(mistakes)
        if scaled or turned:
            text = "%s: boxes converted to the upright pictures: scaled in %d (annotated at another size), rotated in %d (EXIF orientation)"
            log.warning(text, self.images, scaled, turned)
        if turned and unclear:
            text = "%s: %d more pictures have an EXIF orientation that keeps their size: their boxes are taken as upright"
            log.warning(text, self.images, unclear)
        return boxes


def _check_objects(read: list[Annotation], paths: list[Path], classes: list[str] | None) -> None:
    """Refuses `classes` of which there is no object in any file, and reports objects without a box: their pictures would be background."""
    names = Counter(name for found in read for name in found.names)
    if classes is not None and names and not names.keys() & set(classes):
        has = ", ".join(f"{name!r} ({count})" for name, count in names.most_common(5))
        raise DataError(f"{paths[0].parent}: expected objects named {' or '.join(map(repr, classes))}, found none among {has}")
    boxless = [path for found, path in zip(read, paths, strict=True) if found.boxless]
    if boxless:
        count = sum(found.boxless for found in read)
        text = "%s: %d objects without a bndbox, in %d files, are no faces in training; the first file is %s"
        log.warning(text, paths[0].parent, count, len(boxless), boxless[0].name)
