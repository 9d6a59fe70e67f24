"""The layout of a list of people: which part of a line is the picture's path and which its label."""

from dataclasses import dataclass
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.files.file_names import is_utf8
from ppface.data.loading import label_files
from ppface.data.pictures import picture_files

BLANK, TABS = " ", "\t"
EXPECTED = "a line 'path label', 'path,label' or 'path;label', the label before or after the path, or a .lst of mxnet; no header line"


@dataclass(frozen=True)
class Layout:
    """How a line is split.

    Attributes:
        separator: "," or ";"; BLANK: a tab where the line has one, else a space; TABS: after an index or flag, as in .lst files of
            mxnet (index, label, path) and of InsightFace (flag, path, label).
        label_first: whether the label stands before the path.
    """

    separator: str
    label_first: bool

    def split(self, line: str) -> tuple[str, str] | None:
        """(path, label) of a line; None if it has another layout, or what should be the label is a path or a file."""
        if self.separator == TABS:
            index, _, line = line.partition("\t")
            if not index.strip().isdecimal() or line.count("\t") != 1:
                return None
        separator = self.separator if self.separator != BLANK else "\t" if "\t" in line else None
        parts = line.split(separator, 1) if self.label_first else line.rsplit(separator, 1)
        if len(parts) != 2:
            return None
        path, label = parts[self.label_first].strip(), parts[not self.label_first].strip()
        is_path = "/" in label or "\\" in label or label.startswith(".") or picture_files.is_picture(label)
        return (path, label) if path and label and not is_path else None


LAYOUTS = [Layout(separator, label_first) for separator in (BLANK, TABS, ",", ";") for label_first in (False, True)]


def find(line: str, root: Path, where: str) -> Layout:
    """The layout of a list, by its first line: the one in which the path is that of a picture.

    Args:
        line: the first that is not empty.
        root: the folder that paths are relative to.
        where: file and number of the line, for messages.

    Raises:
        DataError: no such picture, or two layouts in which there is one.
    """
    rows = {row: layout for layout in reversed(LAYOUTS) if (row := layout.split(line))}
    fits = [
        layout
        for (path, _), layout in rows.items()
        if label_files.exists(root, path) or label_files.exists(root, label_files.slashes(path))
    ]
    if len(fits) == 1:
        return fits[0]
    received = f"received {line[:100]!r}"
    if fits:
        raise DataError(
            f"{where}: expected one path and one label, {received}: several parts are paths of pictures; separate path and label by a tab"
        )
    if not rows:
        raise DataError(f"{where}: expected 'path label', {received}")
    encoding = "" if is_utf8(line) else "; the list is not in UTF-8: if the names of its pictures are, save it as UTF-8"
    raise DataError(f"{where}: no such picture under {root}, {received}: expected {EXPECTED}{encoding}")
