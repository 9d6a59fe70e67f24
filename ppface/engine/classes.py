"""The names of the classes that a run learns, in a file of its folder; checkpoints hold their digest, so that they stay small.

Classes are compared by their names. Those of numbered people are the numbers, which stay the same where other people get them, as in a
rewritten list: of data that list files, two of each class are kept too, and must still be of that class, as far as they are listed. Of
other data, such as records, only the digest of the lists differs, which a resumed run reports (engine/provenance.py).
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files import checkpoint_files
from ppface.core.files.atomic_write import replace_text
from ppface.core.files.checkpoint_files import WeightFile
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.files.file_names import printable
from ppface.core.run.log import log

CLASSES = "classes.json"  # in the folder of a run or an export: {"label": "name"}
EXAMPLES = "class_examples.json"  # in the folder of a run: {"label": ["file", "file"]}
KEY = "classes"  # in the state of a checkpoint


def record(names: Sequence[str] | None) -> dict[str, Any]:
    """What checkpoints hold of the names; nothing for data without names."""
    return {} if names is None else {KEY: {"count": len(names), "sha256": _digest(names)}}


def write(folder: Path, names: Sequence[str]) -> None:
    """Writes the file of names, unless it is there already, or raises OSError."""
    if _read(folder, _digest(names)) is None:
        readable = not any("\ud800" <= letter <= "\udfff" for name in names for letter in name)  # file names may be no text
        rows = (f' "{label}": {json.dumps(name, ensure_ascii=not readable)}' for label, name in enumerate(names))
        replace_text(folder / CLASSES, "{\n" + ",\n".join(rows) + "\n}\n")


def write_examples(folder: Path, data: Any) -> None:
    """Writes two files of each class, unless they are there already or the data lists no files; raises OSError."""
    files, labels = _listed(data)
    if files and not (folder / EXAMPLES).exists():
        kinds, first = np.unique(labels, return_index=True)
        last = len(labels) - 1 - np.unique(labels[::-1], return_index=True)[1]
        rows = {str(label): sorted({files[i], files[j]}) for label, i, j in zip(kinds, first, last, strict=True)}
        replace_text(folder / EXAMPLES, json.dumps(rows, indent=0))


def check(run: Path, names: Sequence[str] | None, data: Any = None) -> None:
    """Compares the classes with those that a run's newest checkpoint was trained with, where both are known.

    Args:
        run: its folder.
        names: of the classes now.
        data: the data set, whose `files` and `labels` are compared with the examples of the run, where there are any.

    Raises:
        DataError: other names, or the same in another order: every class would continue with the weights of another one.
        WeightsError: no checkpoint.
    """
    state = CheckpointFolder(run / "checkpoints").read_intact("last", checkpoint_files.read_state)
    then = state.get(KEY)
    if names is None or then is None:
        return
    if then["sha256"] == _digest(names):
        found = _moved(_read_examples(run), data, names)
    elif (known := _read(run, then["sha256"])) is None:
        found = f"{then['count']} classes in the run, {len(names)} in the data, with other names; the run's {CLASSES} is missing or changed"
    else:
        rows = enumerate(zip_longest(known, names))
        found = next(f"class {label} was {_shown(before)}, is {_shown(now)}" for label, (before, now) in rows if before != now)
        found += f" ({len(known)} classes then, {len(names)} now)"
    if found:
        advice = f"restore the data, or train on the new classes from its weights: ppface train -c CONFIG --weights {run}"
        raise DataError(f"{run}: the data have other classes than this run was trained with: {found}: {advice}")


def _listed(data: Any) -> tuple[list[str], np.ndarray]:
    """The files of a data set and their labels; none if it lists no files."""
    files = getattr(data, "files", None)
    return (files, np.asarray(data.labels)) if files and hasattr(data, "labels") else ([], np.zeros(0, np.int64))


def _moved(examples: dict[str, list[str]], data: Any, names: Sequence[str]) -> str:
    """The first class none of whose examples is of that class any more; a single file may have been corrected. Empty if each has one."""
    files, labels = _listed(data)
    wanted = {file for of_class in examples.values() for file in of_class}
    now = {file: int(label) for file, label in zip(files, labels, strict=True) if file in wanted}
    for label, of_class in examples.items():
        found = [file for file in of_class if file in now]
        if found and int(label) < len(names) and all(now[file] != int(label) for file in found):
            return f"{printable(found[0])} was of {names[int(label)]!r}, is of {names[now[found[0]]]!r}"
    return ""


def of_weights(weights: WeightFile) -> list[str] | None:
    """The names of the classes that the weights of a checkpoint were trained with; None, with a warning, if its run has lost them."""
    then = weights.state.get(KEY)
    if then is None:
        return None
    run = weights.file.resolve().parents[2]
    names = _read(run, then["sha256"])
    if names is None:
        log.warning(
            "%s: %s is missing or changed: the names of the %d classes of %s are unknown", run, CLASSES, then["count"], weights.file
        )
    return names


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()


def _read(folder: Path, sha256: str) -> list[str] | None:
    """The names in a folder's file; None if there are none with this digest."""
    try:
        table = json.loads((folder / CLASSES).read_text(encoding="utf-8"))
        names = [table[str(label)] for label in range(len(table))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return names if _digest(names) == sha256 else None


def _read_examples(folder: Path) -> dict[str, list[str]]:
    """The examples of a run's classes; none if the file is missing or damaged."""
    try:
        found = json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))
        return {str(int(label)): [str(file) for file in files] for label, files in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _shown(name: str | None) -> str:
    return "missing" if name is None else repr(name)
