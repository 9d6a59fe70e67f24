"""Finds the pictures that label files name, where the names were changed since: other endings, other case, folders of another machine."""

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

    def find(self, written: str, stem: str) -> str | None:
        """The path, under the folder, of the picture that a label file names; None if no picture fits, or more than one.

        Tried in this order: the name as written; its last part, for a path of another machine; `stem` with any ending; the stem of the
        name with any ending. Endings and stems in any case.

        Args:
            written: the name in the label file.
            stem: name of the label file without its ending.
        """
        written = on_disk(written)
        last = written.replace("\\", "/").rsplit("/", 1)[-1]
        for name in (written, last):
            if _is_file(self.folder / name):
                return name
        for wanted in (stem, last, Path(last).stem):
            found = self._by_stem.get(wanted.lower(), [])
            if found:
                return found[0] if len(found) == 1 else None
        return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False
