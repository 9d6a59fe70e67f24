"""A live model with its config and weights, each found and read once."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppface.core.config.run_config import CHECKPOINTS, CONFIG, config_file
from ppface.core.config.spec import Spec, build_model, load_config
from ppface.core.errors import WeightsError
from ppface.core.files import checkpoint_files, shipped, zoo
from ppface.core.files.checkpoint_files import WeightFile
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.files.released import located

MIN_LOADED_SHARE = 0.5  # share of a model's arrays that weights to start from must have


@dataclass(frozen=True)
class LiveModel:
    """A live model and its sources.

    Attributes:
        model: in evaluation mode, with its weights.
        config: of the run, checked.
        weights: the file that was loaded.
        names: the file of rules for the weight file's names, if there is one.
    """

    model: Any
    config: Any
    weights: WeightFile
    names: Path | None

    def identity(self) -> str:
        """A digest of the model's config, its weights and the rules for their names: equal digests mean equal outputs."""
        rules = self.names.read_text(encoding="utf-8") if self.names else None
        return hashlib.sha256(json.dumps([self.config["model"].plain(), self.weights.sha256(), rules]).encode()).hexdigest()


def open_model(
    source: str | os.PathLike | Spec,
    weights: str | os.PathLike | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> LiveModel:
    """The live model of a run, a checkpoint or a config; arguments and errors as `ppface.predict.load`."""
    folder = None
    if isinstance(source, Spec):
        config, source = load_config(source, list(overrides)), source.origin.source
    else:
        folder = located(source) if located(source).is_dir() else None
        with config_file(Path(source)) as file:
            config = load_config(file, list(overrides))
    found = weights or folder or config["weights"]
    if weights is None and folder is None:
        names = names or config["weight_names"]  # not for the checkpoints of a run, which already have the model's names
    if found is None:
        raise WeightsError(f"{source}: expected weights for this config: give a weight file or the folder of a run")
    names = names or zoo.names_of(found)
    model = build_model(config)
    rules = shipped.locate(os.fspath(names), shipped.name_files) if names else None
    loaded = load_into(model, found, rules)
    model.eval()
    return LiveModel(model, config, loaded, rules)


def load_into(model: Any, given: str | os.PathLike, names: str | Path | None = None) -> WeightFile:
    """Loads the weights of a file, a checkpoint or a run into a model; returns the file that was loaded.

    A checkpoint is read once, and the loaded bytes are those that were compared with its digest, as it may be removed at any time.

    Args:
        model: receives the values.
        given: see `find_weights`, also for errors.
        names: a file of rules from the weight file's names to the model's, see `ppface.load_weights`; entries of the zoo have theirs.
    """
    from ppface.nets.weights import load_weights

    found = find_weights(given)
    load_weights(model, found.file, names=names or zoo.names_of(given), content=found.content)
    return found


def load_start(model: Any, config: Any, about_classes: dict[str, Any] | None = None) -> tuple[str, str] | None:
    """Loads into a new model what fits of the weights that a config's training starts from; the rest keeps its initial values.

    Args:
        model: receives the values.
        config: of the run.
        about_classes: what its checkpoints will state of its classes; class centres start anew where the weights are those of a checkpoint
            that states others.

    Returns:
        the path and the SHA-256 of the file that was loaded; None where the config has no `weights`

    Raises:
        WeightsError: as `find_weights`, or fewer than half of the arrays that the model needs can be loaded.
    """
    from ppface.nets.weights import load_weights

    if config["weights"] is None:
        return None
    found, names = find_weights(config["weights"]), config["weight_names"] or zoo.names_of(config["weights"])
    same_classes = all(found.state.get(key, value) == value for key, value in (about_classes or {}).items())
    load_weights(model, found.file, False, names, found.content, MIN_LOADED_SHARE, same_classes)
    return str(found.file), found.sha256()


def find_weights(path: str | os.PathLike) -> WeightFile:
    """The weight file of a path or of `zoo:NAME`: a file, a released model, a checkpoint or a run (its best one); preferably the running
    average (EMA).

    A file of a checkpoint is compared with its digest, and returned with its bytes. If the best checkpoint of a run is broken, the newest
    intact one is used, with a warning.

    Raises:
        WeightsError: a folder that is neither, or a checkpoint that is broken.
    """
    entry = zoo.find(path)
    given = zoo.get(entry) if entry else located(path)
    if not given.is_dir():
        return checkpoint_files.read_weight_file(given)
    if (given / CHECKPOINTS).is_dir():
        return CheckpointFolder(given / CHECKPOINTS).read_intact("best", checkpoint_files.read_weights)
    if (given / checkpoint_files.STATE).is_file():
        return checkpoint_files.read_weights(given)
    if (given / CONFIG).is_file() and (given / checkpoint_files.WEIGHTS).is_file():
        return WeightFile(given / checkpoint_files.WEIGHTS)
    state = checkpoint_files.STATE
    raise WeightsError(f"{given}: expected a weight file, a checkpoint (with its {state}) or a run with a checkpoint")
