"""A whole run: the schema of a config's sections, and how the sections become the objects of the training loop."""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from ppface.core.errors import ConfigError, UserError
from ppface.core.registry import Kind, register
from ppface.core.spec import Spec
from ppface.engine.devices import World

CONFIG, ENVIRONMENT = "config.yml", "environment.json"
PACKAGES = ("ppface", "paddlepaddle", "paddlepaddle-gpu", "numpy", "opencv-python", "opencv-python-headless", "pillow", "safetensors")


@register("run")
class Run:
    """The sections of a config file. It is a schema first: `load_config` checks a file against this signature.

    Source: a config that is its own call tree, as detectron2's lazy configs,
    https://detectron2.readthedocs.io/en/latest/tutorials/lazyconfigs.html.

    Args:
        model: what is trained and exported; a file may leave it, as anything else, to the file whose `_BASE_` it is.
        loss: (outputs, batch) -> weighted scalars; needed to train.
        optimizer: how the weights follow the gradients; needed to train.
        train: the data to train on; needed to train.
        trainer: length and habits of the training; needed to train.
        evaluators: what is measured, by tools/eval.py and during training.
        device: "auto" takes the GPU where there is one.
        processes: data-parallel processes of the plain command; "auto": one a core on a CPU, one on a GPU.
        seed: of all randomness, >= 0.
        output: where run folders are made.
        weights: a weight file to start from.

    Shape:
        config -> model, loader and trainer, see `assemble`
    """

    def __init__(
        self,
        model: Annotated[Callable, Kind("model", "FaceModel")] | None = None,
        loss: Annotated[Callable, Kind("loss")] | None = None,
        optimizer: Annotated[Callable, Kind("optimizer")] | None = None,
        train: Annotated[Callable, Kind("loader", "Loader")] | None = None,
        trainer: Annotated[Callable, Kind("trainer", "Trainer")] | None = None,
        evaluators: list[Annotated[Callable, Kind("evaluator")]] | None = None,
        device: Literal["auto", "cpu", "gpu"] = "auto",
        processes: Literal["auto"] | int = "auto",
        seed: int = 0,
        output: str = "output",
        weights: str | None = None,
    ):
        self.model, self.loss, self.optimizer, self.train, self.trainer = model, loss, optimizer, train, trainer
        self.evaluators, self.device, self.processes, self.seed = evaluators or [], device, processes, seed
        self.output, self.weights = output, weights


def check_trainable(config: Spec) -> None:
    """Raises UserError where a config lacks a section that training needs, or has a number out of range."""
    missing = [name for name in ("model", "loss", "optimizer", "train", "trainer") if config[name] is None]
    if missing:
        raise UserError(f"{config.origin.source}: expected {', '.join(missing)} in a config to train from")
    mistakes = []
    for name, least in (("seed", 0), ("processes", 1)):
        value = config[name]
        if value != "auto" and not least <= value < 2**63:
            mistakes.append(f"{config.arguments[name].origin}: {name}: expected a whole number of at least {least}, received {value}")
    if mistakes:
        raise ConfigError(mistakes)


def open_data(config: Spec, world: World) -> Any:
    """The loader of this process. What its data set knows (`facts()`, such as the number of identities) is written into the config,
    so that the model, and the config that a run saves, have it.

    Raises:
        ConfigError: the config says otherwise than the data.
    """
    loader = config["train"](seed=config["seed"], rank=world.rank, world=world.size)
    config.supply(getattr(loader.dataset, "facts", dict)())
    return loader


def assemble(config: Spec, world: World, folder: Path, model: Any, loader: Any) -> Any:
    """The trainer with everything it needs; only the first process evaluates, so only it opens the evaluators' data.

    Args:
        config: checked, with all sections of training.
        world: this process among the others.
        folder: the run's.
        model: built from the config, perhaps with weights loaded.
        loader: of `open_data`.
    """
    return config["trainer"](
        model=model,
        loss=config["loss"](),
        optimizer=config["optimizer"],
        loader=loader,
        evaluators=[evaluator() for evaluator in config["evaluators"] or []] if world.rank == 0 else [],
        world=world,
        folder=folder,
        seed=config["seed"],
    )


def new_folder(config: Spec, name: str, wanted: str | None = None) -> Path:
    """Makes the folder of a new run: the one that is wanted, or `output/name/date-time`, counted on where a run has it already.

    Raises:
        UserError: a folder that is not empty or cannot be made.
    """
    folder = Path(wanted or Path(config["output"]) / name / time.strftime("%Y%m%d-%H%M%S"))
    with _writing(folder):
        if wanted:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder}: expected a folder that is empty or yet to be made (--resume goes on with a run)")
            return folder
        for count in range(2, 1000):
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                folder = folder.with_name(f"{folder.name.partition('_')[0]}_{count}")
    return folder


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot write the run's folder: {error.strerror}; choose another with -o output=DIR") from error


def open_folder(folder: Path, config: Spec) -> None:
    """Makes the run's folder with the resolved config and the environment in it.

    Raises:
        UserError: a folder that cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        (folder / CONFIG).write_text(text, encoding="utf-8")
        (folder / ENVIRONMENT).write_text(json.dumps(environment(text), indent=1), encoding="utf-8")


def environment(config_text: str) -> dict[str, Any]:
    """What else decides a run's numbers: versions, machine, threads, state of the sources, and a digest of the config."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    switches = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "processes": int(os.environ.get("PADDLE_TRAINERS_NUM", "1")),
        "environment": switches,
        "packages": packages,
        "git": _git_state(),
        "config_sha256": hashlib.sha256(config_text.encode()).hexdigest(),
    }


def provenance(weights: Path) -> dict[str, Any]:
    """What an export tells of its making: version, weight file and digest, and the checkpoint's step and metrics where known."""
    trained: dict[str, Any] = {"weights": weights.name, "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    state = weights.parent / "state.json"
    if state.is_file():
        trained |= {key: value for key, value in json.loads(state.read_text(encoding="utf-8")).items() if key in ("step", "metrics")}
    return {"version": metadata.version("ppface"), "git": _git_state(), "trained": trained}


def _git_state() -> str | None:
    """The commit these sources are at, with a mark where they were changed; None where they are not a checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
