"""A live model with all that it was made of, each part of it found once and read once."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppface.core.config.run_config import CHECKPOINTS, config_file
from ppface.core.errors import WeightsError
from ppface.core.files import checkpoint_files
from ppface.core.files.checkpoint_files import WeightFile
from ppface.core.files.checkpoint_folder import CheckpointFolder


@dataclass(frozen=True)
class LiveModel:
    """A live model and what it was made of.

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
        """A digest of what decides the model's answers: its config, its weights, and the rules by which they were loaded."""
        rules = self.names.read_text(encoding="utf-8") if self.names else None
        return hashlib.sha256(json.dumps([self.config["model"].plain(), self.weights.sha256(), rules]).encode()).hexdigest()


def open_model(
    source: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> LiveModel:
    """The live model of a run, a checkpoint or a config; arguments and errors as `ppface.predict.load`."""
    from ppface.core.config.spec import build_model, load_config

    source = Path(source)
    with config_file(source) as file:
        config = load_config(file, list(overrides))
    found = weights or (source if source.is_dir() else config["weights"])
    if weights is None and not source.is_dir():
        names = names or config["weight_names"]  # a run's own checkpoints have the model's names
    if found is None:
        raise WeightsError(f"{source}: expected weights for this config: give a weight file or the folder of a run")
    model = build_model(config)
    rules = Path(names) if names else None
    loaded = load_into(model, found, rules)
    model.eval()
    return LiveModel(model, config, loaded, rules)


def load_into(model: Any, given: str | os.PathLike, names: str | Path | None = None) -> WeightFile:
    """Loads the weights meant by a file, a checkpoint or a run into a model; returns which file that was.

    A checkpoint may be removed, or damaged, as soon as it was read: what is loaded are the bytes that were compared with its digest.

    Args:
        model: receives the values.
        given: see `find_weights`, also for errors.
        names: a file of rules from the weight file's names to the model's, see `ppface.load_weights`.
    """
    from ppface.nets.weights import load_weights

    found = find_weights(given)
    load_weights(model, found.file, names=names, content=found.content)
    return found


def find_weights(path: str | os.PathLike) -> WeightFile:
    """The weight file meant by a file, a checkpoint's folder or a run's folder (its best checkpoint); the running average before the rest.

    What comes from a checkpoint is compared with its digest, and comes with its bytes; of a run, where its best checkpoint is broken, the
    newest sound one is taken, with a warning.

    Raises:
        WeightsError: a folder that is neither, or a checkpoint that is broken.
    """
    given = Path(path)
    if not given.is_dir():
        return checkpoint_files.read_weight_file(given)
    if (given / CHECKPOINTS).is_dir():
        return CheckpointFolder(given / CHECKPOINTS).read_intact("best", checkpoint_files.read_weights)
    if (given / checkpoint_files.STATE).is_file():
        return checkpoint_files.read_weights(given)
    state = checkpoint_files.STATE
    raise WeightsError(f"{given}: expected a weight file, a checkpoint (with its {state}) or a run with a checkpoint")
