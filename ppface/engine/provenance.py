"""Where numbers come from: what a run, a checkpoint and an export record of their making, and how the same run starts again."""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from ppface.core.checkpoint_files import STATE, read_state
from ppface.core.errors import UserError
from ppface.core.log import log
from ppface.core.spec import Spec

CONFIG, ENVIRONMENT = "config.yml", "environment.json"
PACKAGES = ("ppface", "paddlepaddle", "paddlepaddle-gpu", "numpy", "opencv-python", "opencv-python-headless", "pillow", "safetensors")
SWITCHES = ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "CUDA_VISIBLE_DEVICES")


def config_text(config: Spec) -> str:
    """The resolved config as the YAML that a run's folder holds."""
    return yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def environment(config: Spec, name: str, data: str | None = None) -> dict[str, Any]:
    """What else decides a run's numbers: versions, machine, threads, state of the sources, and digests of the config and the data lists.

    Args:
        config: resolved, with what the data told.
        name: of the run.
        data: digest of the training data's lists; None where nothing was trained.
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
        "environment": {switch: os.environ[switch] for switch in SWITCHES if switch in os.environ},
        "packages": packages,
        "git": _git_state(),
        "seed": config["seed"],
        "config_sha256": hashlib.sha256(config_text(config).encode()).hexdigest(),
        "data_sha256": data,
    }


def compare(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Tells what of two environments differs and can change a run's numbers; of an empty one nothing is known."""
    if not then:
        return
    rows = [(name, then.get(name), now.get(name)) for name in ("python", "machine", "processes", "git", "seed", "data_sha256")]
    for part in ("packages", "environment"):
        old, new = then.get(part, {}), now.get(part, {})
        rows += [(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]
    for name, before, after in rows:
        if before != after:
            log.warning("not as it was recorded: %s was %s, is %s: the numbers may differ", name, before, after)


def of_export(weights: Path) -> dict[str, Any]:
    """What an export tells of its making: version, weight file and digest, and of a checkpoint's file its step, metrics and environment."""
    trained: dict[str, Any] = {"weights": weights.name, "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    if (weights.parent / STATE).is_file():
        told = read_state(weights.parent)
        trained |= {key: told[key] for key in ("step", "samples", "metrics", "environment") if key in told}
    return {"version": metadata.version("ppface"), "git": _git_state(), "trained": trained}


@contextlib.contextmanager
def source(config: str | None, resume: str | None, reproduce: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(config file, what is recorded of an earlier run) for one of: a config, a run to go on with, a record to start again from.

    To start the same run again, the number of its processes is asked for in "overrides".

    Raises:
        UserError: `reproduce` is no run, checkpoint or export.
        WeightsError: it is a checkpoint that is broken.
    """
    if reproduce is None:
        yield Path(config or Path(resume or "") / CONFIG), {}
        return
    folder = Path(reproduce)
    with tempfile.TemporaryDirectory() as scratch:
        file = folder / CONFIG
        try:
            if (folder / STATE).is_file():
                state = read_state(folder)
                file, about = Path(scratch) / CONFIG, state["environment"]
                file.write_text(yaml.safe_dump(state["config"], sort_keys=False), encoding="utf-8")
            else:
                about = _trained(folder)
            about["overrides"] = [f"processes={about['processes']}"]
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            expected = "expected a run, a checkpoint or an export that records how it was made"
            raise UserError(f"{folder}: {expected}: {type(error).__name__}: {error}") from None
        yield file, about


def _trained(folder: Path) -> dict[str, Any]:
    """The environment of a run, or of the run that an export's weights come from."""
    export = folder / "inference.yml"
    if export.is_file():
        return yaml.safe_load(export.read_text(encoding="utf-8"))["trained"]["environment"]
    return json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))


def _git_state() -> str | None:
    """The commit these sources are at, with a mark where they were changed; None where they are not a checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
