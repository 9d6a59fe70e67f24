"""A text file that lists pictures of people: `path label`."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.loading import label_files
from ppface.data.recognition.identities import Identities, count_classes

ADVICE = "expected a text file with a line 'path label' per picture"


@register("dataset")
class IdentityList(Identities):
    """One line per picture: its path relative to root, a space or tab, and its label 0, 1, 2, ... Paths may contain spaces.

    Source: the lists of PaddleClas, https://github.com/PaddlePaddle/PaddleClas.

    Args:
        root: the folder that paths are relative to.
        list_file: the list, relative to root or an absolute path; may be .gz.
        class_num: number of identities; None: the largest label + 1.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: a missing list, a malformed line, a label that is not below class_num, an identity without a picture; later a
            missing or broken picture, or one of another size.
    """

    def __init__(self, root: str, list_file: str, class_num: int | None = None, size: tuple[int, int] = (112, 112), resize: bool = False):
        super().__init__(size, resize)
        self.root = label_files.folder(Path(root), "IdentityList", ADVICE)
        path = self.root / list_file
        self.files: list[str] = []
        labels: list[int] = []
        for at, line in enumerate(label_files.lines(path, "IdentityList", ADVICE), start=1):
            if not line.strip():
                continue
            file, label = _picture(line, f"{path}:{at}")
            if class_num is not None and label >= class_num:
                raise DataError(f"{path}:{at}: expected a label under class_num={class_num}, received {label}")
            self.files.append(file)
            labels.append(label)
        self.labels = np.array(labels, np.int64)
        self.class_num = count_classes(self.labels, str(path), class_num)

    def name(self, index: int) -> str:
        return str(self.root / self.files[index])


def _picture(line: str, where: str) -> tuple[str, int]:
    words = line.strip().rsplit(maxsplit=1)
    if len(words) != 2 or not (words[1].isdecimal() and len(words[1]) < 10):
        raise DataError(f"{where}: expected 'path label' with a label 0, 1, 2, ..., received {line.strip()[:60]!r}")
    return words[0], int(words[1])
