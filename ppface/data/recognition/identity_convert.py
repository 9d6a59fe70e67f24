"""Converts data sets of identities between folders of people, lists and RecordIO files. Picture files are copied unchanged."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.atomic_write import replace_text
from ppface.data.pictures.picture import Picture
from ppface.data.recognition.identities import Identities
from ppface.data.recognition.identity_folder import IdentityFolder
from ppface.data.recognition.identity_list import IdentityList
from ppface.data.recognition.record_identities import RecordIdentities
from ppface.data.recordio.record_writer import RecordWriter

# first bytes of a file -> its ending; P is the first letter of PPM, PGM and PBM
ENDINGS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp", b"P": ".ppm"}
Progress = Callable[[Iterable], Iterable]


def open_identities(source: Path, root: Path | None = None) -> Identities:
    """A folder of people, a `.rec`, or any other file as a list of `path label`.

    Args:
        source: the folder or file.
        root: the folder that a list's paths are relative to; None: that of the list.

    Raises:
        DataError: those of the data sets.
    """
    if source.suffix == ".rec":
        return RecordIdentities(str(source))
    if source.is_dir():
        return IdentityFolder(str(source))
    if not source.exists():
        raise DataError(f"{source}: expected a folder of people, a list of pictures, or a .rec: no such file or folder")
    return IdentityList(str(root or source.parent), str(source.resolve()))


def convert(data: Identities, out: Path, progress: Progress = iter) -> dict[str, str]:
    """Writes a `.rec`, a `.txt` list, or, for any other name, a folder of people.

    A list refers to existing pictures by paths relative to it; those of a .rec are first written to a folder with the list's name.

    Returns:
        broken: name -> reason, of pictures that were left out.

    Raises:
        DataError: a file that exists or cannot be written, or an identity without a readable picture.
    """
    if out.suffix in (".rec", ".txt") and out.exists():
        raise DataError(f"{out}: exists already; expected the name of a new file")
    try:
        if out.suffix == ".rec":
            return _records(data, out, progress)
        if out.suffix == ".txt":
            return _list(data, out, progress)
        return _folder(data, out, progress)
    except OSError as error:
        raise DataError(f"{out}: cannot write: {error.strerror}") from None


def _files(data: Identities, order: Iterable[int], broken: dict[str, str]) -> Iterator[tuple[int, bytes]]:
    """(index, file content) of each picture whose header is valid; broken ones are skipped as long as their identity has others."""
    remaining = np.bincount(data.labels, minlength=data.class_num)
    for index in order:
        try:
            code = data.encoded(index)
            Picture.encoded(code, data.name(index))
        except DataError as error:
            broken[data.name(index)] = str(error)
            label = data.labels[index]
            remaining[label] -= 1
            if remaining[label] == 0:
                raise DataError(f"no picture of identity {label} can be read; the last: {error}") from None
        else:
            yield index, code


def _records(data: Identities, out: Path, progress: Progress) -> dict[str, str]:
    broken: dict[str, str] = {}
    with RecordWriter(out) as writer:
        for index, code in _files(data, progress(np.argsort(data.labels, kind="stable").tolist()), broken):
            writer.add(code, int(data.labels[index]))
    return broken


def _folder(data: Identities, out: Path, progress: Progress) -> dict[str, str]:
    """One folder per identity, with names that keep the labels; existing pictures are kept."""
    broken: dict[str, str] = {}
    names = _folder_names(data.class_names)
    for index, code in _files(data, progress(range(len(data))), broken):
        suffix = next((ending for start, ending in ENDINGS.items() if code.startswith(start)), ".tif")
        target = out / names[data.labels[index]] / f"{index:07d}{suffix}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.part")
            try:
                temporary.write_bytes(code)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    return broken


def _folder_names(names: list[str]) -> list[str]:
    """Names of folders whose alphabetical order is that of the classes: the classes' own where it is, numbers with leading zeros."""
    if all(name.isdecimal() for name in names):
        names = [name.zfill(max(map(len, names))) for name in names]
    return names if sorted(names) == names else _folder_names([str(number) for number in range(len(names))])


def _list(data: Identities, out: Path, progress: Progress) -> dict[str, str]:
    broken: dict[str, str] = {}
    if not isinstance(data, IdentityFolder | IdentityList):
        broken = _folder(data, out.with_suffix(""), progress)
        data = IdentityFolder(str(out.with_suffix("")))
    relative = os.path.relpath(Path(data.root).resolve(), out.parent.resolve())
    prefix = "" if relative == "." else f"{relative}/"
    names = data.class_names if isinstance(data, IdentityList) else [str(label) for label in range(data.class_num)]
    gap = "\t" if any(" " in name for name in names) else " "
    rows = zip(data.files, data.labels, strict=True)
    lines = [f"{'' if file.startswith('/') else prefix}{file}{gap}{names[label]}\n" for file, label in rows]
    wrong = next((index for index, line in enumerate(lines) if line.splitlines(keepends=True) != [line]), None)
    if wrong is not None:
        raise DataError(f"{data.name(wrong)!r}: a list cannot hold a name with a line break in it: rename the file, or convert to a .rec")
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(out, "".join(lines))
    return broken
