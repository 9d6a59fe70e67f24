"""A folder with one subfolder of pictures per person."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.loading import label_files
from ppface.data.recognition.identities import Identities

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
ADVICE = "expected root/person/pictures, one folder per person"


@register("dataset")
class IdentityFolder(Identities):
    """Each folder under root is a person, with all pictures in it and its subfolders; labels follow the sorted folder names.

    Source: the layout of LFW, https://vis-www.cs.umass.edu/lfw, and of CASIA-WebFace.

    Args:
        root: the folder that contains the people's folders.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: no such folder, an empty one, or a person without a picture; later a broken picture, or one of another size.
    """

    def __init__(self, root: str, size: tuple[int, int] = (112, 112), resize: bool = False):
        super().__init__(size, resize)
        self.root = str(label_files.folder(Path(root), "IdentityFolder", ADVICE))
        try:
            self.class_names, found = _people(self.root)
        except OSError as error:
            raise DataError(f"IdentityFolder: cannot read {error.filename}: {error.strerror}") from None
        if not self.class_names:
            raise DataError(f"IdentityFolder: no folder in {root}: {ADVICE}")
        empty = [person for person, pictures in zip(self.class_names, found, strict=True) if not pictures]
        if empty:
            also = f" (nor in {len(empty) - 1} other folders)" if len(empty) > 1 else ""
            raise DataError(f"IdentityFolder: no picture in {self.root}/{empty[0]}{also}: remove the folder, or add pictures")
        self.files = [picture for pictures in found for picture in pictures]
        self.class_num = len(self.class_names)
        self.labels = np.repeat(np.arange(self.class_num), [len(pictures) for pictures in found])

    def name(self, index: int) -> str:
        return f"{self.root}/{self.files[index]}"


def _people(root: str) -> tuple[list[str], list[list[str]]]:
    """The folders under root, and the pictures of each."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    return names, [sorted(_pictures(root, name)) for name in names]


def _pictures(root: str, folder: str) -> Iterator[str]:
    """Paths relative to root of all pictures in one of its folders and its subfolders."""
    for entry in os.scandir(f"{root}/{folder}"):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _pictures(root, f"{folder}/{entry.name}")
        elif entry.name.lower().endswith(SUFFIXES):
            yield f"{folder}/{entry.name}"
