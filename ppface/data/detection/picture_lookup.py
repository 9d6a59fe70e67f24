"""Finds the pictures that label files name, where the names were changed since: other endings, other case, folders of another machine."""

import os
from pathlib import Path

from ppface.core.files.file_names import on_disk
from ppface.data.pictures.picture_files import is_picture


class PictureLookup:
    """The pictures of a folder by name.

    Args:
        folder: listed once.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._by_stem: dict[str, list[str]] = {}
        for path in folder.iterdir():
            if is_picture(path.name):
                self._by_stem.setdefault(path.stem.lower(), []).append(path.name)

    def find(self, written: str, stem: str, encoding: str = "utf-8") -> str | None:
        """The path, under the folder, of the picture that a label file names; None if no picture fits, or more than one.

        Tried in this order: the name as written, also with slashes for backslashes; its last part, for a path of another machine; `stem`
        with any ending; the stem of the name with any ending. Endings and stems in any case.

        Args:
            written: the name in the label file; may be empty.
            stem: name of the label file without its ending.
            encoding: of the label file: names on the disk may have its bytes.
        """
        names = list(dict.fromkeys([on_disk(written), _in_bytes(written, encoding)]))
        last = [name.replace("\\", "/").rsplit("/", 1)[-1] for name in names]
        for name in (*names, *(name.replace("\\", "/") for name in names), *last):
            if _is_file(self.folder / name):
                return name
        for wanted in (stem, *last, *(Path(name).stem for name in last)):
            found = self._by_stem.get(wanted.lower(), [])
            if found:
                return found[0] if len(found) == 1 else None
        return None


def _in_bytes(name: str, encoding: str) -> str:
    """The name of a file whose bytes are those of the name in this encoding."""
    try:
        return os.fsdecode(name.encode(encoding, "surrogateescape"))
    except UnicodeEncodeError:
        return on_disk(name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False
