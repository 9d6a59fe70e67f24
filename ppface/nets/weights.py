"""Loads a weight file into a model by name, and reports which names matched."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paddle import nn

from ppface.core.errors import WeightsError
from ppface.core.files.arrays import is_torch, read_arrays
from ppface.core.files.pickle_machine import shown
from ppface.core.files.safetensors_file import widened
from ppface.core.files.shards import own_columns
from ppface.core.files.weight_names import Names, read_names
from ppface.core.run.log import log
from ppface.nets import torch_layout
from ppface.nets.layers import ACTIVATIONS, ConvBN

SHOWN, LISTED = 3, 20  # maximum number of names in an error, and in the report of what was not loaded
ADVICE = (
    "build the model the weights were trained with; to train with the arrays that fit: ppface train --weights, from Python strict=False"
)


@dataclass(frozen=True)
class Report:
    """How the names of a model and of a weight file matched.

    Args:
        matched: names of the model that were loaded.
        missing: names of the model that the file does not have.
        unexpected: names of the file that the model does not have.
        mismatched: names whose shapes differ -> (shape in the model, shape in the file).
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


def load_weights(
    model: nn.Layer,
    path: str | Path,
    strict: bool = True,
    names: str | Path | None = None,
    content: bytes | None = None,
    least: float = 0.0,
    same_classes: bool = True,
) -> Report:
    """Loads a weight file by name (see `read_arrays` for the formats). Published names are translated to ppface's.

    A component that was published under other names has `published_names`, pairs of a pattern and its replacement, which are applied in
    order to whole names; weights of other projects need a file of such rules (see core/files/weight_names.py). PyTorch's names and
    layouts are converted. If an error is raised, the model is unchanged. Layers with `training_only = True`, and the names that a layer
    lists in `optional_names`, may be missing from the file. Arrays of another shape in layers with `training_only = True` are not loaded,
    which is logged in one line.

    Args:
        model: the model to load into.
        path: the weight file.
        strict: missing names and different shapes are errors; otherwise those tensors keep their values and are reported.
            Names that only the file has are reported in either case.
        names: YAML file with the rules from the weight file's names to the model's.
        content: the file's content, if it is a safetensors file that was read before.
        least: without `strict`, the share of the arrays the model needs that must be loaded, 0..1; what was not loaded is then logged.
        same_classes: whether the weights were trained on the model's classes; otherwise the arrays of layers with `training_only = True`,
            such as class centres, are not loaded, except for single numbers.

    Raises:
        WeightsError: a file that cannot be read or is of another network (with `strict` fewer than half of the model's names are in it,
            otherwise none), names or shapes that `strict` forbids, or a smaller share loaded than `least`.
    """
    name_rules = read_names(names) if names else None
    arrays = read_arrays(path, name_rules.part if name_rules else None, content)
    state = model.state_dict()
    torch = name_rules.layout == "torch" if name_rules and name_rules.layout else content is None and is_torch(path)
    translated = name_rules.translate(path, list(arrays)) if name_rules else {}
    found, unexpected = _assigned(model, state, arrays, translated, torch)
    trained_only, optional = training_only(model), _optional(model)
    others = [] if same_classes else [name for name in _arrays(state) if name.startswith(trained_only) and name in found]
    others = [name for name in others if tuple(state[name].shape) == found[name].shape]  # else the shapes are the reason
    found = {name: array for name, array in found.items() if name not in others}
    missing = tuple(name for name in state if name not in found)
    needed = [name for name in state if name not in optional and not name.startswith(trained_only)]
    shapes = {name: (tuple(state[name].shape), tuple(found[name].shape)) for name in state if name in found}
    mismatched = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    matched = tuple(name for name in state if name in found and name not in mismatched)
    report = Report(matched, missing, tuple(unexpected), mismatched)
    _check(report, path, needed, len(arrays), strict, least, _hint(name_rules, translated, unexpected, torch))
    for name in matched:
        state[name].set_value(_as_type(found[name], _numpy_type(state[name])))
    if name_rules and name_rules.order:
        _check_order(name_rules.order, getattr(model, "input", None), path)
    for layer, channels, act in name_rules.activations if name_rules else ():
        _check_activation(model, layer, channels, act, path)
    if least > 0:
        _log_partial(path, report, [name for name in state if name not in optional], others)
    elif unneeded := [name for name in mismatched if name not in needed]:
        listed = _listed([_with_shapes(report, name) for name in unneeded])
        log.info(f"{path}: not loaded, as only training needs them and their shapes differ: {listed}")
    return report


def _as_type(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in the model's dtype. Paddle stores bfloat16 as uint16, the upper half of float32; no other weights are uint16."""
    if array.dtype == np.uint16 and dtype.startswith("float"):
        array = widened(array)
    return array.astype(dtype)


def _assigned(
    model: nn.Layer, state: dict, arrays: dict[str, np.ndarray], translated: dict[str, str], torch: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The file's arrays under the model's names, and the names that the model does not have."""
    published, layers = list(_rules(model)), dict(model.named_sublayers())
    found: dict[str, np.ndarray] = {}
    unexpected = []
    for name, array in arrays.items():
        if torch and torch_layout.dropped(name):
            continue
        ours = translated.get(name, name)
        for candidate in (ours, _translate(ours, published)):
            candidate = torch_layout.our_name(candidate, state) if torch else candidate
            if candidate in state and candidate not in found:
                array = torch_layout.our_array(name, candidate, array, layers) if torch else array
                found[candidate] = own_columns(state[candidate], array)
                break
        else:
            unexpected.append(name)
    return found, unexpected


def training_only(model: nn.Layer) -> tuple[str, ...]:
    """The beginnings of the names that only training needs."""
    return tuple(f"{name}." for name, layer in model.named_sublayers() if getattr(layer, "training_only", False))


def _arrays(state: dict) -> list[str]:
    """The names of the state without single numbers, such as the mean norm of embeddings."""
    return [name for name in state if math.prod(state[name].shape) > 1]


def _optional(model: nn.Layer) -> set[str]:
    """The names that a file may lack, as the model's own values are right."""
    return {f"{name}.{last}" for name, layer in model.named_sublayers() for last in getattr(layer, "optional_names", ())}


def _rules(model: nn.Layer) -> Iterator[tuple[re.Pattern, str]]:
    """The `published_names` rules of all components in the model, each once."""
    kinds = dict.fromkeys(type(layer) for layer in model.sublayers(include_self=True))
    for kind in kinds:
        for pattern, replacement in getattr(kind, "published_names", ()):
            yield re.compile(pattern), replacement


def _translate(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name


def _hint(name_rules: Names | None, translated: dict[str, str], unexpected: list[str], torch: bool) -> str:
    """The end of an error message: what to do about names that do not match."""
    if name_rules and unexpected:
        return f"; the rules of {name_rules.path} translate {unexpected[0]!r} to {translated[unexpected[0]]!r}"
    return "; weights of other projects need a file of names, see configs/weights" if torch and not name_rules else ""


def _numpy_type(tensor) -> str:
    return str(tensor.dtype).removeprefix("paddle.")


def _check(report: Report, path: str | Path, needed: list[str], in_file: int, strict: bool, least: float, hint: str) -> None:
    names, missing = len(needed), tuple(name for name in report.missing if name in needed)
    mismatched = [name for name in report.mismatched if name in needed]
    loaded = names - len(missing) - len(mismatched)
    found = names - len(missing)
    if found == 0 or (strict and found < names / 2):
        raise WeightsError(
            f"{path}: these are weights of another network: {found} of the model's {names} names are among the file's {in_file}; "
            f"the model has {_some(report.missing)}, the file has {_some(report.unexpected)}{hint}"
        )
    if strict and mismatched:
        name, (expected, received) = mismatched[0], report.mismatched[mismatched[0]]
        raise WeightsError(
            f"{path}: {len(mismatched)} of {found} arrays have another shape than the model: "
            f"{name}: expected {list(expected)}, received {list(received)}; {ADVICE}"
        )
    if strict and missing:
        raise WeightsError(f"{path}: {len(missing)} of the model's {names} names are missing: {_some(missing)}; {ADVICE}{hint}")
    if loaded < least * names:
        others = [*(_with_shapes(report, name) for name in mismatched), *(f"{name} (missing)" for name in missing)]
        raise WeightsError(
            f"{path}: expected weights of which at least {least:.0%} of the model's {names} arrays can be loaded, received {loaded}: "
            f"{len(mismatched)} have another shape and {len(missing)} are missing: {_some(tuple(others))}; "
            f"choose the backbone the weights were trained with{hint}"
        )


def _check_order(order: str, model_input: nn.Layer | None, path: str | Path) -> None:
    """Warns of a model that feeds its channels in another order than the network of the weights expects."""
    if (received := getattr(model_input, "order", order)) != order:
        log.warning(f"{path}: this network expects {order}, the model has input.order: {received}: set model.input.order={order}")


def _check_activation(model: nn.Layer, name: str, channels: int, act: str, path: str | Path) -> None:
    """Warns of a layer with so many output channels whose activation is another than the network of the weights has there."""
    layer = dict(model.named_sublayers()).get(name)
    if not isinstance(layer, ConvBN) or layer.conv.weight.shape[0] != channels:
        return
    received = next((key for key, function in ACTIVATIONS.items() if function is layer.act), "another")
    if received != act:
        part = name.partition(".")[0]
        log.warning(f"{path}: this network expects the activation {act} in {name}, the model has {received}: set model.{part}.act={act}")


def _log_partial(path: str | Path, report: Report, names: list[str], other_classes: list[str]) -> None:
    """One line on what was loaded, what keeps its initial values, and what the model has no place for."""
    line = f"{path}: {sum(name in report.matched for name in names)} of the model's {len(names)} arrays are loaded"
    reasons = dict.fromkeys(names, "not in the file") | dict.fromkeys(other_classes, "of other classes")
    if others := [name for name in names if name not in report.matched]:
        kept = [_with_shapes(report, name) if name in report.mismatched else f"{name} ({reasons[name]})" for name in others]
        line += f"; {len(others)} start anew: {_listed(kept)}"
    if report.unexpected:
        line += f"; {len(report.unexpected)} of the file are not used: {_listed(list(report.unexpected))}"
    (log.warning if others else log.info)(line)


def _with_shapes(report: Report, name: str) -> str:
    expected, received = report.mismatched[name]
    return f"{name} ({list(expected)} in the model, {list(received)} in the file)"


def _some(names: tuple[str, ...]) -> str:
    """The first few names, for an error."""
    return _listed(list(names), SHOWN) if names else "no others"


def _listed(names: list[str], most: int = LISTED) -> str:
    return ", ".join(shown(name, 200) for name in names[:most]) + (", ..." if len(names) > most else "")
