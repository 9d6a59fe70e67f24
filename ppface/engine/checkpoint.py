"""Tensors as the arrays of a checkpoint and back, with optimizer state under the parameters' own names; the files are core's."""

from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import EMA, OPTIMIZER, WEIGHTS, read
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.files.shards import own_columns
from ppface.core.run.log import log

__all__ = ["CheckpointFolder", "optimizer_tensors", "plain", "put", "read", "remember", "restore", "to_arrays"]


def to_arrays(values: dict[str, paddle.Tensor]) -> dict[str, np.ndarray]:
    """Arrays of whole tensors: where some are spread over processes (see ppface/core/files/shards.py), all processes must call this."""
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


def plain(state: Any) -> dict[str, float]:
    """The loss scaler's numbers, of which Paddle keeps some as arrays."""
    return {name: np.asarray(value).item() for name, value in state.items()}


def restore(source: Path | CheckpointFolder, model: nn.Layer, optimizer: Any, average: dict[str, paddle.Tensor] | None) -> dict[str, Any]:
    """Puts a checkpoint's tensors back and returns its state.

    Args:
        source: a checkpoint's directory, or a run's checkpoints, of which the last sound one is taken: each file is read once then.
        model: receives the weights.
        optimizer: of this model.
        average: the running average, if there is one.

    Raises:
        WeightsError: a broken checkpoint, or one of another network or optimizer.
    """
    if isinstance(source, CheckpointFolder):
        folder, (files, state) = source.read_intact("last", lambda path: (path, read(path)))
    else:
        folder, (files, state) = source, read(source)
    if missing := [*({WEIGHTS, OPTIMIZER} - files.keys()), *({"step", "best", "ema_updates"} - set(state))]:
        raise WeightsError(f"{folder}: expected a whole checkpoint, missing {', '.join(sorted(missing))}")
    put(model.state_dict(), files[WEIGHTS], f"{folder / WEIGHTS}")
    put(optimizer_tensors(optimizer, model), files[OPTIMIZER], f"{folder / OPTIMIZER}")
    if average is not None:
        if EMA not in files:
            log.warning("%s has no running average: it starts from the weights", folder)
        put(_spread_alike(average, model), files.get(EMA, files[WEIGHTS]), f"{folder / EMA}")
    return state
