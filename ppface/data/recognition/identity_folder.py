"""A folder with one subfolder of pictures per person."""

import os
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.data.loading import label_files
from ppface.data.pictures import picture_files
from ppface.data.recognition.identities import Identities

ADVICE = "expected root/person/pictures, one folder per person"


@register("dataset")
class IdentityFolder(Identities):
    """Each folder under root is a person, with all pictures in it and its subfolders; labels follow the sorted folder names.

    Hidden files, files with other endings than a picture's, and pictures beside the people's folders are left out and counted in the log.

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
            self.class_names, found, left_out = _people(self.root)
        except OSError as error:
            raise DataError(f"IdentityFolder: cannot read {error.filename}: {error.strerror}") from None
        if not self.class_names:
            raise DataError(f"IdentityFolder: no folder in {root}: {ADVICE}")
        empty = [person for person, pictures in zip(self.class_names, found, strict=True) if not pictures]
        if empty:
            also = f" (nor in {len(empty) - 1} other folders)" if len(empty) > 1 else ""
            raise DataError(f"IdentityFolder: no picture in {self.root}/{empty[0]}{also}: remove the folder, or add pictures")
        if left_out:
            log.info("IdentityFolder: %s: left out: %s", self.root, left_out)
        self.files = [picture for pictures in found for picture in pictures]
        self.class_num = len(self.class_names)
        self.labels = np.repeat(np.arange(self.class_num), [len(pictures) for pictures in found])

    def name(self, index: int) -> str:
        return f"{self.root}/{self.files[index]}"


def _people(root: str) -> tuple[list[str], list[list[str]], str]:
    """The folders under root, the pictures of each as paths relative to root, and what was left out."""
    names = sorted((path.name for path in Path(root).iterdir() if path.is_dir() and not path.name.startswith(".")), key=os.fsencode)
    pictures: dict[str, list[str]] = {name: [] for name in names}
    found = picture_files.find(root)
    for file in found.files:
        person, inside, _ = file.partition("/")
        if inside:
            pictures[person].append(file)
        else:
            found.left_out["pictures beside the people's folders"] += 1
    return names, [sorted(files, key=os.fsencode) for files in pictures.values()], found.summary()
