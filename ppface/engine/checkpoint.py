"""Checkpoints: one directory each, written aside and renamed, with optimizer state under the parameters' own names."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ppface.core.errors import UserError, WeightsError
from ppface.core.log import log
from ppface.core.shards import own_columns

WEIGHTS, OPTIMIZER, EMA, STATE, INDEX = "weights.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json", "index.json"


class CheckpointFolder:
    """The checkpoints of one run: the newest `keep` and the best.

    Args:
        folder: made when the first checkpoint is saved.
        keep: how many of the newest stay, >= 1.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

    def save(self, arrays: dict[str, dict[str, np.ndarray]], state: dict[str, Any], best: bool) -> Path:
        """Writes one checkpoint and forgets the oldest; a save that fails harms none that is there.

        Args:
            arrays: file name -> name -> array.
            state: plain values; `step` names the checkpoint.
            best: whether it becomes the best one.

        Raises:
            UserError: the disk is full or cannot be written.
        """
        name = f"step_{state['step']:08d}"
        aside = self.folder / f".{name}"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            for file, content in arrays.items():
                save_file({key: np.ascontiguousarray(value) for key, value in content.items()}, aside / file)
            (aside / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
            for path in aside.iterdir():
                _to_disk(path)
            shutil.rmtree(self.folder / name, ignore_errors=True)
            aside.rename(self.folder / name)
            index = self.index() | {"last": name} | ({"best": name} if best else {})
            _replace(self.folder / INDEX, json.dumps(index))
        except (OSError, SafetensorError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise UserError(f"{self.folder / name}: cannot save this checkpoint: {error}; earlier ones are untouched") from error
        self._forget(index)
        return self.folder / name

    def index(self) -> dict[str, str]:
        """{"last": directory name, "best": directory name}, as far as there are any."""
        file = self.folder / INDEX
        try:
            index = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError as error:
            raise WeightsError(f"{file}: expected the names of the last and the best checkpoint as JSON: {error}") from error
        return index

    def find(self, which: str) -> Path:
        """The directory of the "last" or "best" checkpoint; without a best one, the last.

        Raises:
            WeightsError: there is none.
        """
        index = self.index()
        name = index.get(which) or index.get("last")
        if name is None:
            raise WeightsError(f"{self.folder}: expected a run with at least one checkpoint, found none")
        return self.folder / name

    def _forget(self, index: dict[str, str]) -> None:
        saved = sorted(path for path in self.folder.glob("step_*") if path.is_dir())
        for path in saved[: -self.keep]:
            if path.name not in index.values():
                shutil.rmtree(path, ignore_errors=True)


def _to_disk(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _replace(file: Path, text: str) -> None:
    aside = file.with_name(f".{file.name}")
    aside.write_text(text, encoding="utf-8")
    _to_disk(aside)
    aside.replace(file)


def read(folder: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """(arrays by file name, state) of one checkpoint directory.

    Raises:
        WeightsError: a file that is missing or broken.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return {file.name: load_file(file) for file in sorted(folder.glob("*.safetensors"))}, state
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder}: cannot read this checkpoint: {error}") from error


def to_arrays(values: dict[str, paddle.Tensor]) -> dict[str, np.ndarray]:
    """Arrays of whole tensors: where some are spread over processes (see ppface/core/shards.py), all processes must call this."""
    return {name: _whole(value) if hasattr(value, "shard") else value.numpy() for name, value in values.items()}


def _whole(value: paddle.Tensor) -> np.ndarray:
    start, stop, total = value.shard
    widest = -(-total // paddle.distributed.get_world_size())
    padded = paddle.nn.functional.pad(value.detach(), [0, 0, 0, widest - (stop - start)])
    parts: list[paddle.Tensor] = []
    ranges: list[paddle.Tensor] = []
    paddle.distributed.all_gather(parts, padded)
    paddle.distributed.all_gather(ranges, paddle.to_tensor([start, stop]))
    return np.concatenate([part.numpy()[:, : int(stop - start)] for part, (start, stop) in zip(parts, ranges, strict=True)], axis=1)


def _spread_alike(values: dict[str, paddle.Tensor], model: nn.Layer) -> dict[str, paddle.Tensor]:
    """The running average, or the optimizer's state under "name/kind", spread over processes as the model's own tensors are."""
    state = model.state_dict()
    for name, value in values.items():
        own = state.get(name.rsplit("/", 1)[0])
        if own is not None and hasattr(own, "shard") and own.shape == value.shape:
            value.shard = own.shard
    return values


@paddle.no_grad()
def put(values: dict[str, paddle.Tensor], arrays: dict[str, np.ndarray], where: str) -> None:
    """Writes arrays into the tensors of the same names.

    Raises:
        WeightsError: another set of names, or another shape.
    """
    if values.keys() != arrays.keys():
        odd = sorted(values.keys() ^ arrays.keys())
        raise WeightsError(f"{where}: this checkpoint is of another network: {len(odd)} names differ, first {odd[0]}")
    for name, value in values.items():
        array = own_columns(value, arrays[name])
        if list(value.shape) != list(array.shape):
            raise WeightsError(f"{where}: {name}: expected shape {list(value.shape)}, received {list(array.shape)}")
        value.set_value(array)


def optimizer_tensors(optimizer: Any, model: nn.Layer) -> dict[str, paddle.Tensor]:
    """The optimizer's state as "parameter name in the model/accumulator" -> tensor.

    Paddle keys this state by names that it counts up anew in every process and for every model, so they must not reach a file. The
    accumulators are made here if the first step has not made them yet.
    """
    parameters = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    if not optimizer._accumulators:
        optimizer._create_accumulators(paddle.static.default_main_program().global_block(), parameters)
    ours = {value.name: name for name, value in model.named_parameters()}
    tables = optimizer._accumulators | ({"master_weight": optimizer._master_weights} if getattr(optimizer, "_master_weights", None) else {})
    return _spread_alike({f"{ours[name]}/{kind}": tensor for kind, table in tables.items() for name, tensor in table.items()}, model)


def remember(model: nn.Layer, optimizer: Any, average: dict[str, paddle.Tensor] | None) -> dict[str, dict[str, np.ndarray]]:
    """All tensors of a training run as the files of a checkpoint; all processes call this, for what is spread over them."""
    files = {WEIGHTS: to_arrays(model.state_dict()), OPTIMIZER: to_arrays(optimizer_tensors(optimizer, model))}
    return files | ({EMA: to_arrays(_spread_alike(average, model))} if average is not None else {})


def restore(folder: Path, model: nn.Layer, optimizer: Any, average: dict[str, paddle.Tensor] | None) -> dict[str, Any]:
    """Puts a checkpoint's tensors back and returns its state.

    Raises:
        WeightsError: a broken checkpoint, or one of another network or optimizer.
    """
    files, state = read(folder)
    if missing := [*({WEIGHTS, OPTIMIZER} - files.keys()), *({"step", "best", "ema_updates"} - set(state))]:
        raise WeightsError(f"{folder}: expected a whole checkpoint, missing {', '.join(sorted(missing))}")
    put(model.state_dict(), files[WEIGHTS], f"{folder / WEIGHTS}")
    put(optimizer_tensors(optimizer, model), files[OPTIMIZER], f"{folder / OPTIMIZER}")
    if average is not None:
        if EMA not in files:
            log.warning("%s has no running average: it starts from the weights", folder)
        put(_spread_alike(average, model), files.get(EMA, files[WEIGHTS]), f"{folder / EMA}")
    return state
