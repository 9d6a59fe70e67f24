"""Loads a weight file into a model by name, with a report of what fitted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paddle import nn

from ppface.core.arrays import read_arrays
from ppface.core.errors import WeightsError
from ppface.core.shards import own_columns

SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Report:
    """What became of the names of a model and of a weight file.

    Args:
        matched: names of the model that were loaded.
        missing: names of the model that the file does not have.
        unexpected: names of the file that the model does not have.
        mismatched: names of the model whose shape differs -> (shape in the model, shape in the file).
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __str__(self) -> str:
        return (
            f"{len(self.matched)} matched, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.mismatched)} of another shape"
        )


def load_weights(model: nn.Layer, path: str | Path, strict: bool = True) -> Report:
    """Loads a `.safetensors` or `.pdparams` file by name: ppface's own names, or published ones that a component translates.

    A component that has been published under other names says so in `published_names`, pairs of a pattern and its replacement over
    whole names, which are applied in turn. Nothing is changed in the model unless everything is in order. Layers that say
    `training_only = True` may be missing from the file.

    Args:
        model: receives the values.
        path: the file.
        strict: names missing from the file and shapes that differ are errors; else they are left as they were and reported.
            Names that only the file has are reported in either case.

    Raises:
        WeightsError: a file that cannot be read, of another network (under `strict` fewer than half of the model's names are in it,
            else none), or against `strict`.
    """
    arrays = read_arrays(path)
    state = model.state_dict()
    found: dict[str, np.ndarray] = {}
    optional = tuple(f"{name}." for name, layer in model.named_sublayers() if getattr(layer, "training_only", False))
    unexpected = []
    rules = list(_rules(model))
    for name, array in arrays.items():
        ours = name if name in state else _translate(name, rules)
        if ours in state and ours not in found:
            found[ours] = own_columns(state[ours], array)
        else:
            unexpected.append(name)
    missing = tuple(name for name in state if name not in found)
    needed = [name for name in state if not name.startswith(optional)]
    shapes = {name: (tuple(state[name].shape), tuple(array.shape)) for name, array in found.items()}
    mismatched = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    matched = tuple(name for name in state if name in found and name not in mismatched)
    report = Report(matched, missing, tuple(unexpected), mismatched)
    _check(report, path, needed, len(arrays), strict)
    for name in matched:
        state[name].set_value(found[name].astype(_numpy_type(state[name])))
    return report


def _rules(model: nn.Layer) -> Iterator[tuple[re.Pattern, str]]:
    """The tables of all components in the model, each once."""
    kinds = dict.fromkeys(type(layer) for layer in model.sublayers(include_self=True))
    for kind in kinds:
        for pattern, replacement in getattr(kind, "published_names", ()):
            yield re.compile(pattern), replacement


def _translate(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name


def _numpy_type(tensor) -> str:
    return str(tensor.dtype).removeprefix("paddle.")


def _check(report: Report, path: str | Path, needed: list[str], in_file: int, strict: bool) -> None:
    names, missing = len(needed), tuple(name for name in report.missing if name in needed)
    found = len(report.matched) + len(report.mismatched)
    if found == 0 or (strict and found < names / 2):
        raise WeightsError(
            f"{path}: these are weights of another network: {found} of the model's {names} names are among the file's {in_file}; "
            f"the model has {_some(report.missing)}, the file has {_some(report.unexpected)}"
        )
    if strict and report.mismatched:
        name, (expected, received) = next(iter(report.mismatched.items()))
        raise WeightsError(
            f"{path}: {len(report.mismatched)} of {found} arrays have another shape than the model: "
            f"{name}: expected {list(expected)}, received {list(received)}; "
            "build the model the weights were trained with, or load with strict=False"
        )
    if strict and missing:
        raise WeightsError(
            f"{path}: {len(missing)} of the model's {names} names are missing: {_some(missing)}; "
            "build the model the weights were trained with, or load with strict=False"
        )


def _some(names: tuple[str, ...]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "") if names else "no others"
