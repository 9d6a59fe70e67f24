"""The files of IJB-B and IJB-C in InsightFace's layout, or of a protocol that a user writes in it: all that is known before embedding."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk
from ppface.data.loading import label_files
from ppface.evaluators.template_ids import warn_of_strangers
from ppface.evaluators.templates import Protocol, mated_probes

FACES, POINTS, PAIRS = "_face_tid_mid.txt", "_name_5pts_score.txt", "_template_pair_label.txt"
GALLERIES, PROBES = "_1N_gallery_*.csv", "_1N_probe_*.csv"
ADVICE = f"expected meta/NAME{FACES} and its other lists, with any NAME, such as ijbb or ijbc, and the pictures in loose_crop"


@dataclass(frozen=True, eq=False)
class TemplateFiles:
    """A protocol, checked.

    Attributes:
        name: that its files begin with, such as "ijbc".
        pictures: path of every picture.
        points: (N, 5, 2) x, y in pixels.
        score: (N,) of the detector.
        template: (N,) ids.
        media: (N,) ids.
        pairs: (P, 2) template ids; P is 0 without 1:1 protocol.
        same: (P,) bool.
        galleries: (template ids, subjects) of each; none without 1:N protocol.
        probes: (template ids, subjects).
    """

    name: str
    pictures: list[Path]
    points: np.ndarray
    score: np.ndarray
    template: np.ndarray
    media: np.ndarray
    pairs: np.ndarray
    same: np.ndarray
    galleries: list[Protocol]
    probes: Protocol


def read(root: str, pictures: bool = True) -> TemplateFiles:
    """Reads and compares all lists.

    Args:
        root: folder with `meta/NAME_face_tid_mid.txt` (lines `picture template media`), `meta/NAME_name_5pts_score.txt` (lines `picture x1
            y1 ... x5 y5 score` in the same order), `meta/NAME_template_pair_label.txt` (lines `template template 1 or 0`) and, for
            1:N, `meta/NAME_1N_gallery_*.csv` and one `meta/NAME_1N_probe_*.csv` (lines `template,subject` after a header, further
            columns are ignored).
        pictures: whether the pictures, in `loose_crop`, must exist.

    Raises:
        DataError: a missing or malformed file, lists that do not fit together, a template without images, or missing pictures.
    """
    folder = label_files.folder(Path(root), "TemplateVerification", ADVICE)
    meta = label_files.folder(folder / "meta", "TemplateVerification", ADVICE)
    lists = sorted(meta.glob(f"*{FACES}"))
    if len(lists) != 1:
        received = ", ".join(path.name for path in lists) or "none"
        raise DataError(f"{meta}: expected one list NAME{FACES}, such as ijbc{FACES}, received {received}")
    name = lists[0].name.removesuffix(FACES)
    names, ids = _table(lists[0], 2, "'picture template media', whole numbers after the picture", whole=True)
    points, score = _points(meta / f"{name}{POINTS}", names, lists[0].name)
    template = ids[:, 0].astype(np.int64)
    known = np.unique(template)
    pairs, same = np.zeros((0, 2), np.int64), np.zeros(0, bool)
    if (file := meta / f"{name}{PAIRS}").exists():
        pairs, same = _pairs(file, known, lists[0].name)
    galleries, probes = _search(sorted(meta.glob(f"{name}{GALLERIES}")), sorted(meta.glob(f"{name}{PROBES}")), known, lists[0].name)
    if not len(pairs) and not galleries:
        raise DataError(f"{meta}: expected pairs in {name}{PAIRS}, or {name}{GALLERIES} and {name}{PROBES}, received none of them")
    files = [folder / "loose_crop" / on_disk(picture) for picture in names]
    if pictures:
        _check_pictures(files)
    return TemplateFiles(name, files, points, score, template, ids[:, 1].astype(np.int64), pairs, same, galleries, probes)


def _table(path: Path, columns: int, expected: str, whole: bool = False) -> tuple[list[str], np.ndarray]:
    """The first column, which may contain spaces, and the numbers of the others, (N, columns)."""
    names, rows = [], []
    for at, line in enumerate(label_files.lines(path, "TemplateVerification", ADVICE), start=1):
        if not line.strip():
            continue
        picture, *words = line.rsplit(maxsplit=columns)
        values = label_files.numbers(" ".join(words))
        if values is None or len(values) != columns or not np.isfinite(values).all() or (whole and any(value % 1 for value in values)):
            raise DataError(f"{path}:{at}: expected {expected}, received {line[:100]!r}")
        names.append(picture.strip())
        rows.append(values)
    return names, np.array(rows)


def _points(path: Path, pictures: list[str], first: str) -> tuple[np.ndarray, np.ndarray]:
    names, rows = _table(path, 11, "'picture x1 y1 ... x5 y5 score'")
    if len(names) != len(pictures):
        raise DataError(f"{path}: expected the {len(pictures)} pictures of {first}, in the same order, received {len(names)}")
    if names != pictures:
        at = next(i for i, pair in enumerate(zip(names, pictures, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"{path}: expected the pictures of {first} in the same order, {pictures[at]} as picture {at + 1}, received {names[at]}"
        )
    points = rows[:, :10].reshape(-1, 5, 2)
    if (flat := np.ptp(points, axis=1).max(axis=1) < 1e-3).any():
        raise DataError(f"{path}: expected five points that differ for {names[int(np.argmax(flat))]}, received {points[flat][0].tolist()}")
    return points, rows[:, 10]


def _pairs(path: Path, known: np.ndarray, first: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        rows = np.loadtxt(path, np.int64, comments=None, ndmin=2)
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from None
    except ValueError:
        rows = np.zeros((0, 0), np.int64)
    if rows.shape[1:] != (3,) or not np.isin(rows[:, 2], (0, 1)).all():
        raise DataError(_bad_pair(path))
    pairs, same = rows[:, :2].copy(), rows[:, 2] == 1
    _check_known(path, pairs, known, first)
    if not same.any() or same.all():
        raise DataError(f"{path}: expected pairs of one person (1) and of two (0), received {int(same.sum())} and {int((~same).sum())}")
    return pairs, same


def _bad_pair(path: Path) -> str:
    """The mistake in a list of pairs, found line by line: numpy's reader does not name it."""
    for at, line in enumerate(label_files.lines(path, "TemplateVerification", ADVICE), start=1):
        words = line.split()
        if words and (len(words) != 3 or words[2] not in ("0", "1") or not all(word.lstrip("-").isdecimal() for word in words)):
            return f"{path}:{at}: expected 'template template 1' for one person or 'template template 0' for two, received {line[:100]!r}"
    return f"{path}: expected lines of three whole numbers, 'template template 1' or 'template template 0'"


def _check_known(path: Path, ids: np.ndarray, known: np.ndarray, first: str) -> None:
    """Raises DataError for templates that have no images."""
    if len(missing := np.unique(ids[~np.isin(ids, known)])):
        some = ", ".join(map(str, missing[:3])) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(f"{path}: expected templates with images in {first}, received {some} without")


def _search(galleries: list[Path], probes: list[Path], known: np.ndarray, first: str) -> tuple[list[Protocol], Protocol]:
    if not galleries and not probes:
        return [], (np.zeros(0, np.int64), np.zeros(0, np.int64))
    if not galleries or len(probes) != 1:
        received = ", ".join(path.name for path in [*galleries, *probes])
        raise DataError(
            f"{[*galleries, *probes][0].parent}: expected galleries (NAME{GALLERIES}) and one NAME{PROBES}, received {received}"
        )
    tables = [_subjects(path, known, first) for path in [*galleries, *probes]]
    numbers = {word: number for number, word in enumerate(sorted({word for table in tables for word in table.values()}))}
    protocols = [(np.array(list(table)), np.array([numbers[word] for word in table.values()])) for table in tables]
    people = [subjects for _, subjects in protocols[:-1]]
    if not np.isin(protocols[-1][1], np.concatenate(people)).any():
        raise DataError(f"{probes[0]}: expected probes of people in a gallery, received {len(protocols[-1][1])} probes of others")
    for path, (_, subjects) in zip(galleries, protocols, strict=False):
        mated_probes(protocols[-1][1], subjects, str(path))
    warn_of_strangers(protocols[-1][1], people, f"{probes[0]}: ")
    return protocols[:-1], protocols[-1]


def _subjects(path: Path, known: np.ndarray, first: str) -> dict[int, str]:
    """The subject of each template; a template has a line for each of its images in some files."""
    found: dict[int, str] = {}
    for at, row in enumerate(csv.reader(label_files.lines(path, "TemplateVerification", ADVICE)), start=1):
        words = [word.strip() for word in row[:2]]
        if not any(row) or (at == 1 and not any(character.isdigit() for character in words[0])):
            continue
        if len(words) < 2 or not words[0].isdecimal() or not words[1]:
            raise DataError(f"{path}:{at}: expected 'template,subject', received {','.join(row)[:100]!r}")
        if found.setdefault(int(words[0]), words[1]) != words[1]:
            raise DataError(f"{path}:{at}: expected one subject of template {words[0]}, received {found[int(words[0])]} and {words[1]}")
    if not found:
        raise DataError(f"{path}: expected lines 'template,subject' after a header, found none")
    _check_known(path, np.array(list(found)), known, first)
    return found


def _check_pictures(files: Sequence[Path]) -> None:
    """Raises one DataError for all pictures that do not exist; folders are listed first, as there may be half a million pictures."""
    there = {path for folder in {file.parent for file in files} if folder.is_dir() for path in folder.iterdir()}
    label_files.refuse(f"{file}: no such picture file" for file in files if file not in there and not file.is_file())
