"""A whole run: the schema of a config's sections, and how the sections become the objects of the training loop."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from ppface.core.config.spec import Spec
from ppface.core.errors import ConfigError, UserError
from ppface.core.files.atomic_write import replace_text
from ppface.core.files.file_names import on_disk
from ppface.core.registry import Kind, nearest, register
from ppface.core.run import folder_lock
from ppface.core.run.log import log
from ppface.engine import class_examples, classes, config_changes, evaluation
from ppface.engine.provenance import CONFIG, ENVIRONMENT, config_text
from ppface.engine.refused import BROKEN_FILE
from ppface.engine.step import Step
from ppface.engine.world import World

LOCK_TIMEOUT_S = 5.0  # for another process, such as one that was just killed, to release a run


@register("run")
class Run:
    """The sections of a config file. It is a schema first: `load_config` checks a file against this signature.

    Source: a config that is its own call tree, as detectron2's lazy configs,
    https://detectron2.readthedocs.io/en/latest/tutorials/lazyconfigs.html.

    Args:
        model: what is trained and exported; like every section it may come from another file through `_BASE_`.
        loss: one loss or a list of them, (outputs, batch) -> weighted scalars that are added up; needed to train.
        optimizer: how the weights follow the gradients; needed to train.
        train: the data to train on; needed to train.
        trainer: length of the training, evaluation and checkpoints; needed to train.
        evaluators: what is measured, by ppface eval and during training.
        device: "auto" takes the GPU where there is one.
        processes: data-parallel processes of the training command; "auto": one per core on CPUs, one on a GPU.
        seed: of all randomness, >= 0.
        output: where run folders are made.
        weights: a weight file, a checkpoint or a run to start from: arrays that fit are loaded, the others keep their initial values.
        weight_names: a file of rules from its names to the model's, for the weights of other projects; see configs/weights.

    Shape:
        config -> model, loader and trainer, see `assemble`
    """

    def __init__(
        self,
        model: Annotated[Callable, Kind("model", "FaceModel")] | None = None,
        loss: Annotated[Callable, Kind("loss")] | list[Annotated[Callable, Kind("loss")]] | None = None,
        optimizer: Annotated[Callable, Kind("optimizer")] | None = None,
        train: Annotated[Callable, Kind("loader", "Loader")] | None = None,
        trainer: Annotated[Callable, Kind("trainer", "Trainer")] | None = None,
        evaluators: list[Annotated[Callable, Kind("evaluator")]] | None = None,
        device: Literal["auto", "cpu", "gpu"] = "auto",
        processes: Literal["auto"] | int = "auto",
        seed: int = 0,
        output: str = "output",
        weights: str | None = None,
        weight_names: str | None = None,
    ):
        self.model, self.loss, self.optimizer, self.train, self.trainer = model, loss, optimizer, train, trainer
        self.evaluators, self.device, self.processes, self.seed = evaluators or [], device, processes, seed
        self.output, self.weights, self.weight_names = output, weights, weight_names


def check_trainable(config: Spec) -> None:
    """Raises UserError where a config lacks a section that training needs, has a number out of range, or a metric without evaluators."""
    missing = [name for name in ("model", "loss", "optimizer", "train", "trainer") if not config[name]]
    if missing:
        raise UserError(f"{config.origin.source}: expected {', '.join(missing)} in a config to train from")
    mistakes = []
    for name, least in (("seed", 0), ("processes", 1)):
        value = config[name]
        if value != "auto" and not least <= value < 2**63:
            mistakes.append(f"{config.arguments[name].origin}: {name}: expected a whole number of at least {least}, received {value}")
    metric = config["trainer"]["metric"]
    if metric and not config["evaluators"]:
        origin = config["trainer"].arguments["metric"].origin
        mistakes.append(f"{origin}: trainer.metric: expected an evaluator that returns {metric}, but this config has no evaluators")
    if mistakes:
        raise ConfigError(mistakes)


def open_data(config: Spec, world: World, resumed: str | None = None) -> Any:
    """The loader of this process. The facts of its data set (`facts()`, such as class_num) are written into the config, for the model and
    for the config that a run saves.

    Args:
        config: checked.
        world: this process among the others.
        resumed: the folder of the run that continues with these data.

    Raises:
        ConfigError: the config contradicts the data.
        DataError: other classes than those of the resumed run.
    """
    loader = config["train"](seed=config["seed"], rank=world.rank, world=world.size)
    if resumed:
        classes.check(Path(resumed), _class_names(loader), loader.dataset)
    config.supply(getattr(loader.dataset, "facts", dict)())
    return loader


def about_classes(loader: Any) -> dict[str, Any]:
    """What the checkpoints of a run on these data state of its classes."""
    return classes.record(_class_names(loader))


def _class_names(loader: Any) -> Sequence[str] | None:
    """The names of the data set's classes 0, 1, ...; None if it names none."""
    return getattr(loader.dataset, "class_names", None)


def assemble(config: Spec, world: World, folder: Path, model: Any, loader: Any, about: dict[str, Any]) -> Any:
    """The trainer of a config; only the first process evaluates, so only it opens the evaluators' data, and looks at all of it.

    Args:
        config: checked, with all sections of training.
        world: this process among the others.
        folder: the run's.
        model: built from the config, perhaps with weights loaded.
        loader: of `open_data`.
        about: `provenance.environment`, for the checkpoints.

    Raises:
        ConfigError: a metric that no evaluator returns, or sizes that contradict the model's.
        DataError: the evaluators' data cannot be used.
    """
    config.supply(getattr(model, "facts", dict)(), "by the model")
    loader.list_in(folder / BROKEN_FILE)
    loader.follow(model.predictor(), world.from_first)
    evaluators = [evaluator() for evaluator in config["evaluators"] or []] if world.rank == 0 else []
    evaluation.check_methods(evaluators)
    _check_metric(config, evaluators)
    evaluation.check(evaluators, model.predictor())
    _check_metric(config, evaluators)  # again: an evaluator may know more of its values once it has looked at its data
    if config["trainer"]["metric"] and (unknown := evaluation.nameless(evaluators)):
        text = "%s has no method values(), which lists the names that it yields: trainer.metric=%s is checked at the first evaluation"
        log.warning(text, unknown, config["trainer"]["metric"])
    if world.rank == 0:
        warn_of_batch(model, loader.batch_size, world.size)
    step = build_step(config, model)
    for part in step.sublayers():
        if hasattr(part, "check_batch"):  # such as a head with a memory that a batch must fit into
            part.check_batch(loader.batch_size)
    names = _class_names(loader)
    if names is not None and world.rank == 0:
        with _writing(folder):
            classes.write(folder, names)
            class_examples.write(folder, loader.dataset)
    return config["trainer"](
        step=step,
        optimizer=config["optimizer"],
        loader=loader,
        evaluators=evaluators,
        world=world,
        folder=folder,
        seed=config["seed"],
        about={"config": config.plain(), "environment": about, **classes.record(names)},
    )


def _check_metric(config: Spec, evaluators: list[Any]) -> None:
    """Raises ConfigError for a metric that none of the evaluators returns, where all say which values they return."""
    metric, returned = config["trainer"]["metric"], evaluation.names(evaluators)
    if not metric or not returned or metric in returned:
        return
    meant = nearest(metric, returned)
    advice = f"Did you mean '{meant}'?" if meant else f"They return {', '.join(returned)}."
    origin = config["trainer"].arguments["metric"].origin
    raise ConfigError([f"{origin}: trainer.metric: no evaluator returns '{metric}'. {advice}"])


def warn_of_batch(model: Any, batch_size: int, processes: int) -> None:
    """Reports batch norm that a batch of one picture a process disables without an error."""
    if names := model.single_value_norms(batch_size // processes):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        received = f"train.batch_size={batch_size} with processes={processes} gives each process one picture"
        effect = f"batch norm over a single value has no effect and does not update its statistics ({', '.join(names[:3])}{more})"
        log.warning("%s: %s: use a batch_size of at least %d", received, effect, 2 * processes)


def build_step(config: Spec, model: Any) -> Step:
    """The model and the losses of a config as one layer; `loss` is one loss or a list."""
    losses = config["loss"] if isinstance(config["loss"], list) else [config["loss"]]
    return Step(model, [loss(model=model) for loss in losses], [f"{loss.origin}: {loss.path}" for loss in losses])


def new_folder(config: Spec, world: World, about: dict[str, Any], wanted: str | None = None) -> Path:
    """The folder of a new run, made by its first process: `wanted`, or `output/name/date-time`, with a number appended if that exists.

    Raises:
        UserError: a folder that is not empty or cannot be made.
    """
    made = _make_folder(config, about, wanted) if world.rank == 0 else ""
    return Path(world.gather_text(str(made))[0])


def claim(folder: Path, world: World) -> Path:
    """Locks the folder of a run, so that no other process trains in it until this one ends.

    Raises:
        UserError: another process holds the lock for LOCK_TIMEOUT_S: a process that was killed takes seconds to end.
    """
    own = folder_lock.take(folder, LOCK_TIMEOUT_S) if world.rank == 0 else -1
    if any(world.gather_text("taken" if own is None else "")):
        raise UserError(f"{folder}: another process is training this run: wait until it ends, or stop it, before you resume")
    return folder


def _make_folder(config: Spec, about: dict[str, Any], wanted: str | None) -> Path:
    if wanted:
        folder = Path(wanted)
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder}: expected an empty folder or a new one (--resume continues a run)")
    else:
        folder = _dated(Path(on_disk(config["output"])) / about["name"])
    open_folder(folder, config, about)
    return folder


def _dated(parent: Path) -> Path:
    folder = parent / time.strftime("%Y%m%d-%H%M%S")
    with _writing(folder):
        for count in range(2, 1000):
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                folder = folder.with_name(f"{folder.name.partition('_')[0]}_{count}")
    return folder


def resume(trainer: Any, config: Spec, about: dict[str, Any]) -> dict[str, Any]:
    """Restores a trainer from its run's newest intact checkpoint; returns the environment that the checkpoint records.

    Raises:
        WeightsError: no sound checkpoint, or one of another network.
    """
    state = trainer.resume(trainer.checkpoints)
    then = state.get("environment", {})
    about |= {key: then[key] for key in ("weights_file", "weights_sha256") if isinstance(then, dict) and key in then}
    if trainer.world.rank == 0:
        config_changes.warn(state.get("config", {}), config.plain())
        open_folder(trainer.folder, config, about)  # after restoring: a config that does not fit the run must not replace its own
    return then


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot write the run's folder: {error.strerror}; choose another with -o output=DIR") from error


def open_folder(folder: Path, config: Spec, about: dict[str, Any]) -> None:
    """Makes the run's folder with the resolved config and the environment in it.

    Args:
        folder: the run's, or an export's.
        config: resolved, with the facts of the data set.
        about: see `provenance.environment`.

    Raises:
        UserError: a folder that cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / CONFIG, config_text(config))
        replace_text(folder / ENVIRONMENT, json.dumps(about, indent=1))
