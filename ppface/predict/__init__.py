"""The public API for predictions: load a run, an export or a config, pass a picture, get its faces."""

import os
from collections.abc import Sequence
from typing import Any

from ppface.core.config.spec import Spec
from ppface.core.errors import WeightsError
from ppface.predict.embedder import FaceEmbedder
from ppface.predict.face import Face
from ppface.predict.face_detector import FaceDetector
from ppface.predict.face_landmarker import FaceLandmarker, LandmarkedDetector
from ppface.predict.face_pipeline import FacePipeline
from ppface.predict.face_quality import ANSWERED, ENROLLED, FaceQuality, QualityLimits
from ppface.predict.live_model import load_into, load_start, open_model
from ppface.predict.runtimes import is_export, open_export

__all__ = [
    "ANSWERED", "ENROLLED", "Face", "FaceDetector", "FaceEmbedder", "FaceLandmarker", "FacePipeline", "FaceQuality", "LandmarkedDetector",
    "QualityLimits", "load", "load_into", "load_model", "load_predictor", "load_start", "of_predictor", "open_model", "open_predictor",
]  # fmt: skip


def load(
    source: str | os.PathLike | Spec,
    weights: str | os.PathLike | None = None,
    threads: int | None = None,
    names: str | os.PathLike | None = None,
) -> FaceDetector | FaceEmbedder | FaceLandmarker:
    """A callable from a picture to its faces: a detector finds them, a recognition model embeds the one aligned face of the picture, a
    landmark model finds the landmarks of the one face of a crop, or, given `boxes`, of each face of a photograph.

    Args:
        source: the folder of an export, a run, a checkpoint or a released model, `builtin`, `zoo:NAME` (published weights, see
            `ppface zoo list`), or a config: a file, its name, or what `ppface.load_config` returned.
        weights: a weight file, a checkpoint, a run or `zoo:NAME`, for a config, or instead of the run's best checkpoint.
        threads: CPU threads of an export; None: one per core. A live model uses OMP_NUM_THREADS.
        names: a file of rules from the weight file's names to the model's, see `ppface.load_weights`; an export takes none.

    Raises:
        UserError: none of these, or weights that do not match.
    """
    return of_predictor(load_predictor(source, weights, threads, names=names))


def of_predictor(predict: Any) -> FaceDetector | FaceEmbedder | FaceLandmarker:
    """The detector, embedder or landmarker, by the outputs of `predict`.

    Raises:
        WeightsError: the model outputs neither boxes nor embeddings nor landmarks.
    """
    outputs = predict.outputs()
    if "boxes" in outputs:
        return FaceDetector(predict)
    if "embedding" in outputs:
        return FaceEmbedder(predict)
    if "landmarks" in outputs:
        return FaceLandmarker(predict)
    raise WeightsError(f"expected a model with the output 'boxes', 'embedding' or 'landmarks', received one with {', '.join(outputs)}")


def load_predictor(
    source: str | os.PathLike | Spec,
    weights: str | os.PathLike | None = None,
    threads: int | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> Any:
    """`predict(batch) -> named arrays` for evaluators and tools; arguments and errors as `load`; overrides: of the config, `a.b=value`."""
    return open_predictor(source, weights, threads, overrides, names)[0]


def open_predictor(
    source: str | os.PathLike | Spec,
    weights: str | os.PathLike | None = None,
    threads: int | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> tuple[Any, Any]:
    """(predictor as of `load_predictor`, its origin): equal `identity()` of two origins means equal outputs."""
    if not isinstance(source, Spec) and is_export(source):
        exported = open_export(source, threads)
        return exported, exported
    live = open_model(source, weights, overrides, names)
    return live.model.predictor(), live


def load_model(
    source: str | os.PathLike | Spec,
    weights: str | os.PathLike | None = None,
    overrides: Sequence[str] = (),
    names: str | os.PathLike | None = None,
) -> Any:
    """The live model of a run's folder or a config, with its weights; arguments and errors as `load`."""
    return open_model(source, weights, overrides, names).model
