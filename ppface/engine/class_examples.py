"""Two pictures of each class that a run learns, in a file of its folder: they show whether classes with the same names still mean the same.

Labels of lists and records may be numbers, which stay where other people get them, and two folders may have swapped their names. So a run
keeps, of each class, two pictures: their paths if the data lists files, and the digests of their files if the data can read these
(`encoded`). Of many classes the digests are those of BLOCKS runs of neighbours alone, as reading two pictures each takes time.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.atomic_write import replace_text
from ppface.core.files.file_names import in_any_locale, printable

EXAMPLES = "class_examples.json"  # {"label": ["path", "path", "sha256:...", "sha256:..."]}
DIGEST = "sha256:"
BLOCKS, BLOCK = 20, 100  # runs of neighbouring classes, and classes of each, whose pictures are read


def write(run: Path, data: Any) -> None:
    """Writes the examples of each class, unless they are there already or the data has none; raises OSError."""
    if (run / EXAMPLES).exists() or getattr(data, "labels", None) is None:
        return
    rows: dict[int, list[str]] = {}
    if files := getattr(data, "files", None):
        for label, *ends in _ends(data):
            rows[label] = sorted({in_any_locale(files[index]) for index in ends})
    for digest, places in _digests(data).items():
        for label in places:
            rows.setdefault(label, []).append(digest)
    if rows:
        replace_text(run / EXAMPLES, json.dumps({str(label): rows[label] for label in sorted(rows)}, indent=0))


def moved(run: Path, data: Any, names: Sequence[str]) -> str:
    """The first class whose examples all belong to other classes now; empty if there is none.

    A single picture may have been corrected, and pictures may be missing or changed.

    Args:
        run: its folder.
        data: the data set now, with as many classes as the run.
        names: of its classes.
    """
    if getattr(data, "labels", None) is None:
        return ""
    examples = _read(run)
    return _moved_paths(examples, data, names) or _moved_digests(examples, data, names)


def _moved_paths(examples: dict[int, list[str]], data: Any, names: Sequence[str]) -> str:
    files = getattr(data, "files", None) or []
    wanted = set(chain.from_iterable(examples.values()))
    listed = zip(map(in_any_locale, files), data.labels if files else [], strict=True)
    now = {file: int(label) for file, label in listed if file in wanted}
    for label, of_class in examples.items():
        found = [file for file in of_class if file in now]
        if found and label < len(names) and all(now[file] != label for file in found):
            return f"{printable(found[0])} was of {names[label]!r}, is of {names[now[found[0]]]!r}"
    return ""


def _moved_digests(examples: dict[int, list[str]], data: Any, names: Sequence[str]) -> str:
    if not any(entry.startswith(DIGEST) for entry in chain.from_iterable(examples.values())):
        return ""
    now = _digests(data)
    for label, of_class in examples.items():
        found = [digest for digest in of_class if digest in now]
        if found and label < len(names) and all(label not in now[digest] for digest in found):
            mine = np.flatnonzero(np.asarray(data.labels) == label)  # it may have an example that is not at its ends any more
            if not any(_digest(data, int(index)) in of_class for index in mine):
                other, index = next(iter(now[found[0]].items()))
                return f"{printable(data.name(index))} was of {names[label]!r}, is of {names[other]!r}"
    return ""


def _ends(data: Any) -> list[tuple[int, int, int]]:
    """(label, index of its first picture, of its last one) of each class."""
    if hasattr(data, "ends"):
        return [(label, int(first), int(last)) for label, (first, last) in enumerate(data.ends())]
    labels = np.asarray(data.labels)
    kinds, first = np.unique(labels, return_index=True)
    last = len(labels) - 1 - np.unique(labels[::-1], return_index=True)[1]
    return list(zip(kinds.tolist(), first.tolist(), last.tolist(), strict=True))


def _digests(data: Any) -> dict[str, dict[int, int]]:
    """Digest of a picture's file -> {label of a class that it is the first or last picture of: its index}."""
    found: dict[str, dict[int, int]] = {}
    if hasattr(data, "encoded") and not _is_drawn(data):
        ends = _ends(data)
        period = max(BLOCK, -(-len(ends) // BLOCKS))
        for label, *indices in ends:
            if label % period < BLOCK:
                for index in sorted(set(indices)):
                    if digest := _digest(data, index):
                        found.setdefault(digest, {})[label] = index
    return found


def _is_drawn(data: Any) -> bool:
    """Whether pictures are drawn, which takes time; the names of their people say all about them."""
    while hasattr(data, "dataset"):
        data = data.dataset
    return getattr(data, "synthetic", False)


def _digest(data: Any, index: int) -> str:
    """Of a picture's file; empty if it cannot be read, which is reported when it is trained on."""
    try:
        return DIGEST + hashlib.sha256(data.encoded(index)).hexdigest()
    except DataError:
        return ""


def _read(run: Path) -> dict[int, list[str]]:
    """The examples in a run's folder; none if the file is missing or damaged."""
    try:
        found = json.loads((run / EXAMPLES).read_text(encoding="utf-8"))
        return {int(label): [str(entry) for entry in of_class] for label, of_class in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
