"""The names of the classes that a run learns, in a file of its folder; checkpoints hold their digest, so that they stay small.

Classes are compared by their names, and where these are equal by two pictures of each (engine/class_examples.py).
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ppface.core.errors import DataError
from ppface.core.files import checkpoint_files
from ppface.core.files.atomic_write import replace_text
from ppface.core.files.checkpoint_files import WeightFile
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.files.file_names import in_any_locale
from ppface.core.run.log import log
from ppface.engine import class_examples

CLASSES = "classes.json"  # in the folder of a run or an export: {"label": "name"}
KEY = "classes"  # in the state of a checkpoint


def record(names: Sequence[str] | None) -> dict[str, Any]:
    """What checkpoints hold of the names; nothing for data without names."""
    return {} if names is None else {KEY: {"count": len(names), "sha256": _digest(names)}}


def write(folder: Path, names: Sequence[str]) -> None:
    """Writes the file of names, unless it is there already, or raises OSError."""
    if _read(folder, _digest(names)) is None:
        names = [in_any_locale(name) for name in names]
        readable = not any("\ud800" <= letter <= "\udfff" for name in names for letter in name)  # file names may be no text
        rows = (f' "{label}": {json.dumps(name, ensure_ascii=not readable)}' for label, name in enumerate(names))
        replace_text(folder / CLASSES, "{\n" + ",\n".join(rows) + "\n}\n")


def check(run: Path, names: Sequence[str] | None, data: Any = None) -> None:
    """Compares the classes with those that a run's newest checkpoint was trained with, where both are known.

    Args:
        run: its folder.
        names: of the classes now.
        data: the data set, whose pictures are compared with the examples of the run, where there are any.

    Raises:
        DataError: other names, or the same in another order: every class would continue with the weights of another one.
        WeightsError: no checkpoint.
    """
    state = CheckpointFolder(run / "checkpoints").read_intact("last", checkpoint_files.read_state)
    then = state.get(KEY)
    if names is None or then is None:
        return
    if then["sha256"] == _digest(names):
        found = class_examples.moved(run, data, names) if data is not None else ""
    elif (known := _read(run, then["sha256"])) is None:
        found = f"{then['count']} classes in the run, {len(names)} in the data, with other names; the run's {CLASSES} is missing or changed"
    else:
        rows = enumerate(zip_longest(known, map(in_any_locale, names)))
        found = next(f"class {label} was {_shown(before)}, is {_shown(now)}" for label, (before, now) in rows if before != now)
        found += f" ({len(known)} classes then, {len(names)} now)"
    if found:
        advice = f"restore the data, or train on the new classes from its weights: ppface train -c CONFIG --weights {run}"
        raise DataError(f"{run}: the data have other classes than this run was trained with: {found}: {advice}")


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
    return hashlib.sha256(json.dumps([in_any_locale(name) for name in names]).encode()).hexdigest()


def _read(folder: Path, sha256: str) -> list[str] | None:
    """The names in a folder's file; None if there are none with this digest."""
    try:
        table = json.loads((folder / CLASSES).read_text(encoding="utf-8"))
        names = [table[str(label)] for label in range(len(table))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return names if all(isinstance(name, str) for name in names) and _digest(names) == sha256 else None


def _shown(name: str | None) -> str:
    return "missing" if name is None else repr(name)
