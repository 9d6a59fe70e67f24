"""A digest of the lists and settings of a data set, not of its pixels."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.files.file_names import in_any_locale

MAX_DEPTH = 64  # nested objects; deeper nesting is a reference cycle


def digest(dataset: Any) -> str:
    """SHA-256 over the public attributes of a data set: names, labels, boxes, folders and arguments, in their order.

    Two data sets have the same digest if they list the same samples with the same labels from the same paths. An object whose public
    attributes do not identify it, such as one that holds file handles, returns what does from `lists()`.

    Args:
        dataset: an object of numbers, strings, paths, arrays, lists, mappings and objects of the same kind.
    """
    total = hashlib.sha256()
    _add(total, dataset, MAX_DEPTH)
    return total.hexdigest()


def _add(total: Any, value: Any, depth: int) -> None:
    if depth == 0:
        return
    if isinstance(value, np.ndarray):
        total.update(f"array {value.dtype.str} {value.shape}".encode())
        total.update(np.ascontiguousarray(value).data if value.size else b"")
    elif isinstance(value, list | tuple) and all(type(entry) is str for entry in value):
        total.update(f"words {len(value)} ".encode())
        total.update("\0".join(value).encode("utf-8", "surrogateescape"))
    elif isinstance(value, list | tuple):
        total.update(f"list {len(value)} ".encode())
        for entry in value:
            _add(total, entry, depth - 1)
    elif isinstance(value, dict):
        total.update(f"mapping {len(value)} ".encode())
        for name, entry in value.items():
            _add(total, str(name), depth - 1)
            _add(total, entry, depth - 1)
    elif value is None or isinstance(value, str | bytes | int | float | Path | range | np.generic):
        total.update(f"{type(value).__name__} {in_any_locale(str(value))!r} ".encode("utf-8", "surrogateescape"))
    else:
        total.update(f"object {type(value).__name__} ".encode())
        content = value.lists() if hasattr(value, "lists") else getattr(value, "__dict__", {})
        _add(total, {name: entry for name, entry in content.items() if not name.startswith("_")}, depth - 1)
