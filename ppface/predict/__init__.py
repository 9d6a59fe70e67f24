"""The library face of ppface: load a run, an export or a config, give it a picture, get its faces."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ppface.core import checkpoint_files
from ppface.core.checkpoint_folder import CheckpointFolder
from ppface.core.errors import WeightsError
from ppface.predict.embedder import FaceEmbedder
from ppface.predict.face import Face
from ppface.predict.finder import FaceFinder

__all__ = ["Face", "FaceEmbedder", "FaceFinder", "load", "load_predictor", "of_predictor", "weights_file", "weights_of"]
EXPORT = "inference.yml"


def load(
    source: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    threads: int | None = None,
    names: str | os.PathLike | None = None,
) -> FaceFinder | FaceEmbedder:
    """A callable from pictures to faces: found ones with their boxes, or, of a model that tells people apart, the picture's own.

    Args:
        source: the folder of an export, the folder of a run, or a config file.
        weights: a weight file, a checkpoint or a run, for a config, or instead of the run's best checkpoint.
        threads: CPU threads of an export; None: one a core. A live model takes what OMP_NUM_THREADS says.
        names: a file of rules from the weight file's names to the model's, see `ppface.load_weights`; an export takes none.

    Raises:
        UserError: none of these, or weights that do not fit.
    """
    return of_predictor(load_predictor(source, weights, threads, names=names))


def of_predictor(predict: Any) -> FaceFinder | FaceEmbedder:
    """The callable that fits what `predict` answers.

    Raises:
        WeightsError: neither boxes nor embeddings.
    """
    outputs = predict.outputs()
    if "boxes" in outputs:
        return FaceFinder(predict)
    if "embedding" in outputs:
        return FaceEmbedder(predict)
    raise WeightsError(f"expected a model with the output 'boxes' or 'embedding', received one with {', '.join(outputs)}")


def load_predictor(
    source: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    threads: int | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> Any:
    """`predict(batch) -> named arrays` for evaluators and tools; arguments and errors as `load`; overrides: of the config, `a.b=value`."""
    source = Path(source)
    if (source / EXPORT).is_file():
        from ppface.predict.exported import Exported

        return Exported(source, threads)
    return load_model(source, weights, overrides, names).predictor()


def load_model(
    source: Path,
    weights: str | os.PathLike | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> Any:
    """The live model of a run's folder or a config, with its weights; arguments and errors as `load`."""
    from ppface.core.spec import build_model
    from ppface.nets.weights import load_weights

    config, file = _config_and_weights(source, weights, overrides)
    if weights is None and not (source / "config.yml").is_file():
        names = names or config["weight_names"]  # a run's own checkpoints have the model's names
    model = build_model(config)
    load_weights(model, file, names=Path(names) if names else None)
    model.eval()
    return model


def weights_of(source: str | os.PathLike, weights: str | os.PathLike | None = None, overrides: Sequence[str] = ()) -> Path:
    """The file with the weights that `load_predictor` takes; arguments and errors as there."""
    if (Path(source) / EXPORT).is_file():
        return Path(source) / "model.pdiparams"
    return _config_and_weights(Path(source), weights, overrides)[1]


def _config_and_weights(source: Path, weights: str | os.PathLike | None, overrides: Sequence[str]) -> tuple[Any, Path]:
    from ppface.core.spec import load_config

    is_run = (source / "config.yml").is_file()
    if source.is_dir() and not is_run:
        raise WeightsError(f"{source}: expected the folder of a run (config.yml) or of an export ({EXPORT})")
    config = load_config(source / "config.yml" if is_run else source, list(overrides))
    found = weights or (source if is_run else config["weights"])
    if found is None:
        raise WeightsError(f"{source}: expected weights for this config: give a weight file or the folder of a run")
    return config, weights_file(found)


def weights_file(path: str | os.PathLike) -> Path:
    """The weight file meant by a file, a checkpoint's folder or a run's folder (its best checkpoint); the running average before the rest.

    What comes from a checkpoint is compared with its digest; of a run, where its best checkpoint is broken, the newest sound one is
    taken, with a warning.

    Raises:
        WeightsError: a folder that is neither, or a checkpoint that is broken.
    """
    given = Path(path)
    if not given.is_dir():
        return checkpoint_files.weight_file(given)
    if (given / "checkpoints").is_dir():
        return CheckpointFolder(given / "checkpoints").sound("best", checkpoint_files.weights)
    if (given / checkpoint_files.STATE).is_file():
        return checkpoint_files.weights(given)
    raise WeightsError(f"{given}: expected a weight file, a checkpoint (with its {checkpoint_files.STATE}) or a run with a checkpoint")
