"""Provenance: what runs, checkpoints and exports record about how they were made, and how the same run starts again."""

import contextlib
import hashlib
import json
import os
import platform
import reprlib
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from ppface.core.config.run_config import CHECKPOINTS, CONFIG, EXPORT, config_file
from ppface.core.config.spec import Spec
from ppface.core.errors import UserError
from ppface.core.files.checkpoint_files import STATE, WeightFile, read_state
from ppface.core.run.log import log

__all__ = ["CONFIG", "ENVIRONMENT", "compare", "config_text", "environment", "of_export", "source"]
ENVIRONMENT = "environment.json"
PACKAGES = ("ppface", "paddlepaddle", "paddlepaddle-gpu", "numpy", "opencv-python", "opencv-python-headless", "pillow", "safetensors")
VARIABLES = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "CUDA_VISIBLE_DEVICES", "PPFACE_PICTURE_MB")


def config_text(config: Spec) -> str:
    """The resolved config as the YAML that a run's folder holds."""
    return yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def environment(config: Spec, name: str, data: str | None = None, weights: tuple[str, str] | None = None) -> dict[str, Any]:
    """What else affects a run's results: versions, machine, threads, state of the sources, and digests of the config, the data lists and
    the weights that the run started from.

    Args:
        config: resolved, with the facts of the data set.
        name: of the run.
        data: digest of the training data's lists; None without training.
        weights: the path and the SHA-256 of the weight file that the training started from; None for initial weights.
    """
    packages = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[package] = metadata.version(package)
    return {
        "name": name,
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "processes": int(os.environ.get("PADDLE_TRAINERS_NUM", "1")),
        "environment": {key: os.environ[key] for key in VARIABLES if key in os.environ},
        "packages": packages,
        "git": _git_state(),
        "seed": config["seed"],
        "config_sha256": hashlib.sha256(config_text(config).encode()).hexdigest(),
        "data_sha256": data,
        "weights_file": weights and weights[0],
        "weights_sha256": weights and weights[1],
    }


def compare(then: Any, now: dict[str, Any]) -> None:
    """Warns of differences between two environments that can change a run's results; an empty `then` is not compared.

    Args:
        then: recorded by `source` or a checkpoint's state; malformed parts are reported and skipped.
        now: of `environment`.
    """
    if not then or not _is_mapping(then, "environment"):
        return
    rows = [(name, then.get(name), now.get(name)) for name in ("python", "machine", "processes", "git", "seed", "data_sha256")]
    if "weights_sha256" in then:  # older records lack it
        rows.append(("weights_sha256", then["weights_sha256"], now.get("weights_sha256")))
    if {"config_file", "config_sha256"} <= then.keys():  # options of this command do not count: the user gave them
        rows.append((f"the text of {then['config_file']}, by its SHA-256,", then["config_sha256"], then["config_file_sha256"]))
    for part in ("packages", "environment"):
        old, new = then.get(part, {}), now.get(part, {})
        if _is_mapping(old, f"environment: {part}"):
            rows += [(name, old.get(name), new.get(name)) for name in sorted({*old, *new}, key=str)]
    for name, before, after in rows:
        if before != after:
            log.warning("environment changed since this run: %s was %s, is %s; results may differ", name, before, after)


def _is_mapping(value: Any, key: str) -> bool:
    if not isinstance(value, dict):
        log.warning("%s: expected a mapping in the recorded environment, received %s: not compared", key, reprlib.repr(value))
    return isinstance(value, dict)


def of_export(weights: WeightFile) -> dict[str, Any]:
    """What an export records: version, weight file and digest, and for a checkpoint's file its step, metrics and environment."""
    training = {key: weights.state[key] for key in ("step", "samples", "metrics", "environment") if key in weights.state}
    trained: dict[str, Any] = {"weights": weights.file.name, "weights_sha256": weights.sha256()} | training
    return {"version": metadata.version("ppface"), "git": _git_state(), "trained": trained}


@contextlib.contextmanager
def source(config: str | None, resume: str | None, reproduce: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(config file, recorded environment of an earlier run) for one of: a config, a run to resume, a record to reproduce.

    To reproduce a run, "overrides" sets its number of processes.

    Raises:
        UserError: `resume` is no run, or `reproduce` no run, checkpoint or export that records how it was made.
        WeightsError: a checkpoint that is broken, or a folder in which no config is left.
    """
    if resume is not None:
        _check_run(Path(resume))
    recorded = {} if reproduce is None else _recorded(Path(reproduce))
    with config_file(Path(config or resume or reproduce or "")) as file:
        if reproduce is not None and file.parent == Path(reproduce):
            recorded |= {"config_file": str(file), "config_file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        yield file, recorded


def _check_run(folder: Path) -> None:
    """Raises UserError for a path that is no run folder, with the command that was probably meant."""
    if (folder / STATE).is_file():
        run = folder.parent.parent if folder.parent.name == CHECKPOINTS else "RUN"
        advice = f"--resume {run} continues from the newest checkpoint; --reproduce {folder} starts the same run again"
        raise UserError(f"{folder}: expected the folder of a run, received one checkpoint: {advice}")
    if not folder.is_dir():
        raise UserError(f"{folder}: expected the folder of a run, but it does not exist")


def _recorded(folder: Path) -> dict[str, Any]:
    """The recorded environment of a run, of a checkpoint's run, or of the run of an export's weights; the values used here are checked."""
    file, keys = folder / ENVIRONMENT, ["environment"]
    found: Any
    try:
        if (folder / STATE).is_file():
            file = folder / STATE
            found = read_state(folder)
        elif (folder / EXPORT).is_file():
            file, keys = folder / EXPORT, ["trained", "environment"]
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        else:
            found = {"environment": json.loads(file.read_text(encoding="utf-8"))}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        expected = "expected a run, a checkpoint or an export that records how it was made"
        others = sorted(folder.glob(f"{CHECKPOINTS}/step_*"))
        advice = f"; its checkpoints record the same: --reproduce {others[-1]}" if others else ""
        raise UserError(f"{file}: {expected}: {type(error).__name__}: {error}{advice}") from None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    where = f"{file}: " + "".join(f"{key}: " for key in keys if file.name != ENVIRONMENT)
    if not isinstance(found, dict):
        raise UserError(f"{where}expected a mapping that records how the run was made, received {reprlib.repr(found)}")
    name, processes = found.get("name"), found.get("processes")
    if not isinstance(name, str) or name in ("", "..") or Path(name).name != name or "\0" in name:
        raise UserError(f"{where}name: expected the name of a run, a word without /, received {reprlib.repr(name)}")
    if type(processes) is not int or processes < 1:
        raise UserError(f"{where}processes: expected a whole number of at least 1, received {reprlib.repr(processes)}")
    return found | {"overrides": [f"processes={processes}"]}


def _git_state() -> str | None:
    """The commit of these sources, marked "-dirty" if they were changed; None if they are not a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # such as an installed wheel, perhaps within the checkout of another project
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
