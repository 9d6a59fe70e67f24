"""Writes the embeddings of many pictures to one file, in parts, so that an interrupted run can be resumed."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files import file_names
from ppface.core.files.parts import kept, names, read, write_atomically
from ppface.core.run.log import log
from ppface.data.loading import label_files
from ppface.data.pictures import picture_files
from ppface.data.pictures.picture import Picture
from ppface.data.recognition import list_layout
from ppface.ops.embedding import described
from ppface.predict.embedder import FaceEmbedder

BATCHES_PER_PART = 16  # at most as many are computed again after an interruption
INDEX, PARTS = ".txt", ".parts"  # beside the .npy: the index, and the folder of finished parts
BESIDE = ("norm", "variance", "quality")  # in files of their own: e.npy, e.norm.npy ...


@dataclass(frozen=True)
class Entry:
    """One picture: its line of the index, and its file."""

    line: str
    file: Path


def entries(source: Path, root: Path | None = None) -> list[Entry]:
    """The pictures of a folder (and its subfolders, sorted by path), or of a list.

    Args:
        source: a folder, or a text file with one `path` or `path label` per line, or a list of people (IdentityList).
        root: what the list's paths are relative to; None: the list's folder.

    Raises:
        DataError: no such folder or list, or no pictures in it.
    """
    if source.is_dir():
        try:
            inside = picture_files.find(source)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot read this folder: {error.strerror}") from None
        if left_out := inside.summary():
            log.info("%s: left out: %s", source, left_out)
        if wrong := [file for file in inside.files if len(file.splitlines()) > 1]:
            raise DataError(f"{source}: {wrong[0]!r}: expected a name without a line break, as the index has a line per picture: rename it")
        found = [Entry(file, source / file) for file in inside.files]
    else:
        try:
            text = file_names.from_text(source.read_bytes(), str(source), "a folder of pictures or a list of them")
        except OSError as error:
            raise DataError(f"{source}: expected a folder of pictures or a text file that lists them ({error})") from None
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        folder = root or source.parent
        found = [Entry(line, folder / path) for line, path in zip(lines, _paths(lines, folder), strict=True)]
    if not found:
        raise DataError(f"{source}: expected at least one picture, found none")
    return found


def _paths(lines: list[str], folder: Path) -> list[str]:
    """The paths of a list's lines, by the first of them, with slashes for the backslashes of Windows."""
    paths = [_path(line) for line in lines]
    if lines and not any(label_files.exists(folder, path) for path in (paths[0], label_files.slashes(paths[0]))):
        with contextlib.suppress(DataError):  # missing pictures are reported one by one
            layout = list_layout.find(lines[0], folder, "")
            paths = [(layout.split(line) or (line,))[0] for line in lines]
    return label_files.local(paths, folder)


def _path(line: str) -> str:
    """`path` or `path label`: a label is a number after the last space."""
    path, _, label = line.replace("\t", " ").rpartition(" ")
    return path.strip() if path and label.isdecimal() else line


def check_out(out: Path, source: Path) -> None:
    """Raises DataError if a file that `extract` would write for `out` is the `source` itself."""
    for written in (out, out.with_suffix(INDEX), out.with_suffix(PARTS), *(beside(out, name) for name in BESIDE)):
        if written.exists() and source.exists() and written.samefile(source):
            raise DataError(f"{source}: --out {out.name} also writes {written.name}, which would overwrite the input; choose another --out")


def beside(out: Path, name: str) -> Path:
    """The file of another array than the embeddings, with the same rows: e.norm.npy for e.npy."""
    return out.with_suffix(f".{name}.npy")


def extract(
    embedder: FaceEmbedder,
    pictures: list[Entry],
    out: Path,
    model: str,
    batch_size: int = 64,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> list[str]:
    """Writes `out` (.npy, (N, D) float32 before L2 normalisation) and beside it the index (.txt): line i names the picture of row i.

    The same rows in files of their own, float32, see `ppface.ops.embedding.described`: OUT.norm.npy (N,); of models that have them
    OUT.variance.npy (N, D) and OUT.quality.npy (N,); of other models these two are removed, as they are of another run.

    Broken pictures are in none of them. Until all are complete, finished parts are kept in a folder beside them; the same call resumes
    there.

    Args:
        embedder: of the model; without its `resize`, pictures of another size count as broken.
        pictures: the pictures to embed.
        out: ends in .npy.
        model: its identity, see `ppface.predict.open_predictor`; partial results of another model are rejected.
        batch_size: pictures in one call of the model, > 0.
        progress: called with the numbers of pictures done and of all.

    Returns:
        The reason for each broken picture.

    Raises:
        DataError: `out` cannot be written, the folder holds partial results of another run, or all pictures are broken.
    """
    work = "\n".join([model, str((batch_size, embedder.resize, embedder.flip)), *(f"{entry.line}\t{entry.file}" for entry in pictures)])
    folder, step = out.with_suffix(PARTS), BATCHES_PER_PART * batch_size
    _open(folder, hashlib.sha256(file_names.to_bytes(work)).hexdigest())
    parts = {folder / f"{start:09d}.npz": pictures[start : start + step] for start in range(0, len(pictures), step)}
    done = 0
    for part, some in parts.items():
        kept(part, partial(_embedded, embedder, some, batch_size), partial(_is_complete, count=len(some)))
        done += len(some)
        progress(done, len(pictures))
    reasons = np.concatenate([read(part, "reasons") for part in parts])
    broken = reasons[reasons != ""].tolist()
    if len(broken) == len(pictures):
        shutil.rmtree(folder)  # the user may have to change an option, with which this folder would be rejected
        raise DataError(f"none of the {len(pictures)} pictures can be embedded; the first: {broken[0]}")
    index = "".join(f"{entry.line}\n" for entry, reason in zip(pictures, reasons, strict=True) if not reason)
    write_atomically(out.with_suffix(INDEX), lambda file: file.write(file_names.to_bytes(index)))
    for name in BESIDE:
        if any(name in names(part) for part in parts):
            write_atomically(beside(out, name), partial(_join, parts=parts, name=name, count=len(pictures) - len(broken)))
        else:
            beside(out, name).unlink(missing_ok=True)
    write_atomically(out, partial(_join, parts=parts, name="embeddings", count=len(pictures) - len(broken)))
    shutil.rmtree(folder)
    return broken


def _open(folder: Path, digest: str) -> None:
    """Creates the folder of finished parts, or checks that an earlier run with the same inputs left it."""
    record = folder / "inputs.sha256"
    try:
        if record.is_file() and record.read_text() != digest:
            raise DataError(
                f"{folder}: contains partial results of a run with other pictures, another model (config, weights, names) or other "
                "options: repeat that command to resume it, or delete the folder to start over"
            )
        if folder.is_dir() and not record.is_file() and any(folder.iterdir()):
            raise DataError(
                f"{folder}: partial results would be written here, but the folder exists and is of another origin; choose another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(digest)
    except OSError as error:
        raise DataError(f"{folder}: cannot write there: {error.strerror}") from None


def _embedded(embedder: FaceEmbedder, pictures: list[Entry], batch_size: int) -> dict[str, Any]:
    """ "embeddings" and others of the readable pictures, if there are any, and "reasons": why each picture is broken or ""."""
    found, reasons = [], []
    for start in range(0, len(pictures), batch_size):
        images = []
        for entry in pictures[start : start + batch_size]:
            try:
                images.append(embedder.to_input_size(Picture.open(entry.file).decode(), str(entry.file)))
                reasons.append("")
            except DataError as error:
                reasons.append(str(error))
        if images:
            found.append(described(embedder.predict, images, embedder.flip))
    joined = {name: np.concatenate([batch[name] for batch in found]) for name in found[0]} if found else {}
    return {"embeddings" if name == "embedding" else name: rows for name, rows in joined.items()} | {"reasons": np.array(reasons)}


def _is_complete(arrays: Mapping[str, np.ndarray], count: int) -> bool:
    """Whether a part is that of so many pictures."""
    reasons = arrays["reasons"]
    readable = np.count_nonzero(reasons == "")
    return reasons.shape == (count,) and (not readable or len(arrays["embeddings"]) == len(arrays["norm"]) == readable)


def _join(file: IO[bytes], parts: Iterable[Path], name: str, count: int) -> None:
    """Joins an array of all parts to one .npy file, with one of them in memory at a time."""
    written = False
    for part in parts:
        if name not in names(part):  # all of its pictures are broken
            continue
        rows = read(part, name)
        if not written:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, *rows.shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
            written = True
        file.write(np.ascontiguousarray(rows, "<f4").tobytes())
