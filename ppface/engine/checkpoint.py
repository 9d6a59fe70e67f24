"""Converts tensors to the arrays of a checkpoint and back, with optimizer state under the parameters' own names."""

from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import EMA, LOSS, OPTIMIZER, WEIGHTS, read
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.files.shards import own_columns
from ppface.core.run.log import log
from ppface.engine.step import Step

__all__ = ["CheckpointFolder", "optimizer_tensors", "plain", "put", "read", "remember", "restore", "to_arrays"]
ADVICE = "resume with the config of the run"


def to_arrays(values: dict[str, paddle.Tensor]) -> dict[str, np.ndarray]:
    """Arrays of whole tensors; with tensors that are spread over processes (ppface/core/files/shards.py) all processes must call this."""
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


def _spread_alike(values: dict[str, paddle.Tensor], step: Step) -> dict[str, paddle.Tensor]:
    """The running average, or the optimizer's state under "name/kind", spread over processes as the step's own tensors are."""
    shards = step.shards()
    for name, value in values.items():
        own = shards.get(name.rsplit("/", 1)[0])
        if own is not None and own.shape == value.shape:
            value.shard = own.shard
    return values


@paddle.no_grad()
def put(values: dict[str, paddle.Tensor], arrays: dict[str, np.ndarray], where: str, of: str = "network") -> None:
    """Writes arrays into the tensors of the same names.

    Raises:
        WeightsError: another set of names, or another shape.
    """
    if values.keys() != arrays.keys():
        odd = sorted(values.keys() ^ arrays.keys())
        raise WeightsError(
            f"{where}: this checkpoint was saved with another {of} than the config's: {len(odd)} names differ, first {odd[0]}; {ADVICE}"
        )
    for name, value in values.items():
        array = own_columns(value, arrays[name])
        if list(value.shape) != list(array.shape):
            raise WeightsError(f"{where}: {name}: expected shape {list(value.shape)}, received {list(array.shape)}; {ADVICE}")
        value.set_value(array)


def optimizer_tensors(optimizer: Any, step: Step) -> dict[str, paddle.Tensor]:
    """The optimizer's state as "parameter name in the step/accumulator" -> tensor.

    Paddle keys this state by names that it counts up anew in every process and for every model, so they must not reach a file. The
    accumulators are made here if the first step has not made them yet.
    """
    if not optimizer._accumulators:
        optimizer._create_accumulators(paddle.static.default_main_program().global_block(), step.learned())
    ours = step.parameter_names()
    tables = optimizer._accumulators | ({"master_weight": optimizer._master_weights} if getattr(optimizer, "_master_weights", None) else {})
    return _spread_alike({f"{ours[name]}/{kind}": tensor for kind, table in tables.items() for name, tensor in table.items()}, step)


def remember(step: Step, optimizer: Any, average: dict[str, paddle.Tensor] | None) -> dict[str, dict[str, np.ndarray]]:
    """All tensors of a training run as the files of a checkpoint; all processes call this, for what is spread over them."""
    files = {WEIGHTS: to_arrays(step.model.state_dict()), OPTIMIZER: to_arrays(optimizer_tensors(optimizer, step))}
    if loss_state := step.loss.state_dict():
        files[LOSS] = to_arrays(loss_state)
    return files | ({EMA: to_arrays(_spread_alike(average, step))} if average is not None else {})


def plain(state: Any) -> dict[str, float]:
    """The loss scaler's state as plain numbers; Paddle keeps some as arrays."""
    return {name: np.asarray(value).item() for name, value in state.items()}


def restore(source: Path | CheckpointFolder, step: Step, optimizer: Any, average: dict[str, paddle.Tensor] | None) -> dict[str, Any]:
    """Puts a checkpoint's tensors back and returns its state.

    Args:
        source: a checkpoint's directory, or a run's checkpoints, of which the newest intact one is taken, each file read once.
        step: its model and losses receive their tensors.
        optimizer: of this step.
        average: the running average, if there is one.

    Raises:
        WeightsError: a broken checkpoint, or one of another model, loss, optimizer or frozen network.
    """
    if isinstance(source, CheckpointFolder):
        folder, (files, state) = source.read_intact("last", lambda path: (path, read(path)))
    else:
        folder, (files, state) = source, read(source)
    if missing := [*({WEIGHTS, OPTIMIZER} - files.keys()), *({"step", "best", "ema_updates"} - set(state))]:
        raise WeightsError(f"{folder}: expected a complete checkpoint, {', '.join(sorted(missing))} is missing; resume from another one")
    _check_frozen(state.get("frozen", {}), step.frozen_networks(), folder)
    put(step.model.state_dict(), files[WEIGHTS], f"{folder / WEIGHTS}")
    put(step.loss.state_dict(), files.get(LOSS, {}), f"{folder / LOSS}", "loss")
    put(optimizer_tensors(optimizer, step), files[OPTIMIZER], f"{folder / OPTIMIZER}", "optimizer or model.freeze")
    if average is not None:
        if EMA not in files:
            log.warning("%s holds no running average (trainer.ema was 0): the average starts from the checkpoint's weights", folder)
        put(_spread_alike(average, step), files.get(EMA, files[WEIGHTS]), f"{folder / EMA}")
    return state


def _check_frozen(then: dict[str, dict[str, str]], now: dict[str, dict[str, str]], folder: Path) -> None:
    """Raises WeightsError where a frozen network (a teacher) is not the one that the run was trained with."""
    for name in sorted(then.keys() | now.keys()):
        before, after = ({"source": "none", "sha256": "", **side.get(name, {})} for side in (then, now))
        if before["sha256"] != after["sha256"]:
            expected, received = (f"{found['source']}{_short(found['sha256'])}" for found in (before, after))
            advice = "resume with the network that the run began with, or start a new run from its weights"
            raise WeightsError(f"{folder}: {name}: expected the frozen network {expected}, received {received}: {advice}")


def _short(sha256: str) -> str:
    return f" (SHA-256 {sha256[:12]})" if sha256 else ""
