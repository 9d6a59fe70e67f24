"""Finds the pictures of a folder. The same file is in ppface/data/pictures and deploy/python, which must run without ppface."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
MAX_KINDS = 6  # kinds of files that the summary names; the rest are added up


@dataclass
class PictureFiles:
    """The pictures of a folder and its subfolders.

    Attributes:
        files: paths relative to the folder, with /, sorted folder by folder.
        left_out: kind of file or folder -> how many were left out.
    """

    files: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """What was left out, as one line; empty if nothing was."""
        kinds = [f"{count} {kind}" for kind, count in self.left_out.most_common(MAX_KINDS)]
        if len(self.left_out) > MAX_KINDS:
            kinds.append(f"{self.left_out.total() - sum(count for _, count in self.left_out.most_common(MAX_KINDS))} others")
        return ", ".join(kinds)


def is_picture(name: str) -> bool:
    """Whether a file with this name is taken for a picture: by its ending, in any case, and not hidden, as the ._ files of macOS are."""
    return not name.startswith(".") and name.lower().endswith(ENDINGS)


def find(folder: str | os.PathLike, output: str | os.PathLike | None = None) -> PictureFiles:
    """The pictures of a folder and its subfolders, also of linked ones.

    Args:
        folder: searched.
        output: a folder whose pictures are results, not inputs.

    Raises:
        OSError: a folder that cannot be read.
    """
    found = PictureFiles()
    results = _identity(output) if output is not None and Path(output).is_dir() else None
    _search(os.fspath(folder), "", (_identity(folder),), results, found)
    found.files.sort(key=lambda file: os.fsencode(file).split(b"/"))  # by bytes: the same order in any locale
    return found


def _search(folder: str, prefix: str, above: tuple[tuple[int, int], ...], results: tuple[int, int] | None, found: PictureFiles) -> None:
    """Adds the pictures of one folder, whose paths get the prefix; `above`: this folder and those that contain it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            target = Path(entry.path) if entry.is_symlink() else entry  # Path answers False for a link to itself
            if entry.name.startswith("."):
                found.left_out["hidden"] += 1
            elif target.is_dir():
                identity = _identity(entry.path)
                if identity == results:
                    found.left_out["output folder"] += 1
                elif identity in above:
                    found.left_out["links back to a folder that contains them"] += 1
                else:
                    _search(entry.path, f"{prefix}{entry.name}/", (*above, identity), results, found)
            elif not is_picture(entry.name):
                found.left_out[Path(entry.name).suffix.lower() or "without an ending"] += 1
            elif target.is_file() or not Path(entry.path).exists():  # a broken link is reported when it is read
                found.files.append(f"{prefix}{entry.name}")
            else:
                found.left_out["special files"] += 1


def _identity(folder: str | os.PathLike) -> tuple[int, int]:
    status = Path(folder).stat()
    return status.st_dev, status.st_ino
