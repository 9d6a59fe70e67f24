"""A text file that lists pictures of people: `path label`."""

import re
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.files.file_names import is_utf8, printable
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.data.loading import label_files
from ppface.data.recognition import list_layout
from ppface.data.recognition.identities import Identities, renumber

ADVICE = "expected a text file with a line 'path label' per picture"
NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]*)?")  # longer ones are words


@register("dataset")
class IdentityList(Identities):
    """One line per picture: its path relative to root, a space or tab, and its label. Paths may contain spaces and backslashes.

    Labels are whole numbers or words. The classes 0, 1, 2, ... are the labels in order, of their values if all are numbers, else of the
    alphabet; `class_names` are the labels of the classes. `path,label`, `path;label`, the label before the path, and mxnet's .lst (three
    columns with tabs, the first an index) are read too: the layout is the one in which the first line names a picture that exists.

    Source: the lists of PaddleClas, https://github.com/PaddlePaddle/PaddleClas, and of MXNet's im2rec.py, https://github.com/apache/mxnet.

    Args:
        root: the folder that paths are relative to.
        list_file: the list, relative to root or an absolute path; may be .gz.
        class_num: number of identities that the list must have; None: any.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: a missing list, a malformed line, a first picture that does not exist, another number of identities than class_num;
            later a missing or broken picture, or one of another size.
    """

    def __init__(self, root: str, list_file: str, class_num: int | None = None, size: tuple[int, int] = (112, 112), resize: bool = False):
        super().__init__(size, resize)
        self.root = label_files.folder(Path(root), "IdentityList", ADVICE)
        path = self.root / list_file
        self.files: list[str] = []
        words: list[str] = []
        values: dict[str, int | None] = {}  # of each label: its value if it is a number
        layout, word = None, ""
        for at, line in enumerate(label_files.lines(path, "IdentityList", ADVICE), start=1):
            text = line.strip()
            if not text:
                continue
            layout = layout or list_layout.find(text, self.root, f"{path}:{at}")
            row = layout.split(text)
            if row is None:
                raise DataError(f"{path}:{at}: expected a path and a label as on the first line, received {text[:100]!r}")
            if row[1] not in values:
                values[row[1]] = _value(row[1], f"{path}:{at}")
                if values[row[1]] is None:
                    word = word or f"{path}:{at}: the label {row[1]!r}"
            self.files.append(row[0])
            words.append(row[1])
        self.files = label_files.local(self.files, self.root)
        if None in values.values():
            _warn_of_numbers(values, word)
        kinds, self.labels = renumber(words if None in values.values() else [values[word] for word in words], str(path), class_num)
        self.class_names = [str(kind) for kind in kinds]
        self.class_num = len(kinds)

    def name(self, index: int) -> str:
        return str(self.root / self.files[index])


def _warn_of_numbers(values: dict[str, int | None], word: str) -> None:
    """Reports numbers among words: a single mistyped number would otherwise silently change the order of all classes."""
    if numbers := sum(value is not None for value in values.values()):
        effect = f"so the {numbers} labels that are numbers are words too, in the order of the alphabet (10 before 2)"
        log.warning("%s is no number, %s: correct it if it should be one", word, effect)


def _value(label: str, where: str) -> int | None:
    """The value of a label that is a number; None for a word."""
    if not is_utf8(label):
        raise DataError(f"{where}: expected a label in UTF-8, received {printable(label)}: save the list as UTF-8")
    if not NUMBER.fullmatch(label):
        return None
    whole, _, fraction = label.partition(".")
    if whole.startswith("-") or fraction.strip("0"):
        raise DataError(f"{where}: expected a label that is a whole number of at least 0, or a word, received {label}")
    return int(whole)
