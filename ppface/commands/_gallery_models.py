"""Models for galleries: pictures to faces with embeddings, and the identity that a gallery is bound to."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import DataError, WeightsError
from ppface.gallery import ModelIdentity


@dataclass(frozen=True)
class AlignedFace:
    """The face of a picture of one aligned face.

    Attributes:
        embedding: (D,) before L2 normalisation.
        quality: higher is better, None if the model reports none.
        aligned: (H, W, 3) uint8 RGB as it entered the model.
    """

    embedding: np.ndarray
    quality: float | None
    aligned: np.ndarray


def of_aligned(source: str, flip: bool = False, resize: bool = False) -> tuple[ModelIdentity, Callable[[Any], list[AlignedFace]]]:
    """The identity of a model, and `faces_of(picture) -> [AlignedFace]` for pictures of one aligned face each.

    Args:
        source: the folder of a run, an export or a released model.
        flip: add the embedding of the mirrored picture.
        resize: stretch pictures of another size than the model's; otherwise they are an error.
    """
    from ppface import predict
    from ppface.data.pictures.picture import Picture
    from ppface.ops.embedding import described

    model, origin = predict.open_predictor(source)
    embedder = predict.FaceEmbedder(_embedding(source, model), flip, resize)

    def faces_of(image: np.ndarray | str | os.PathLike) -> list[AlignedFace]:
        name = "" if isinstance(image, np.ndarray) else os.fspath(image)
        aligned = embedder.to_input_size(Picture.given(image).decode(), name)
        found = described(model, [aligned], flip)
        return [AlignedFace(found["embedding"][0], float(found["quality"][0]) if "quality" in found else None, aligned)]

    height, width = model.test_size.of(112, 112)
    size = described(model, [np.zeros((height, width, 3), np.uint8)])["embedding"].shape[1]
    return ModelIdentity(origin.identity(), size, "cosine", f"aligned pictures of {height}x{width}", "RGB", flip), faces_of


def _embedding(source: str, model: Any) -> Any:
    """The model, if it embeds."""
    if "embedding" not in model.outputs():
        raise WeightsError(f"{source}: expected a model with the output 'embedding', received one with {', '.join(model.outputs())}")
    return model


def of_photographs(
    source: str, detector: str, align: str = "five_points", flip: bool = False, landmarks: str | None = None, limits: Any = None
) -> tuple[ModelIdentity, Callable[[Any], list[Any]]]:
    """The identity of a model, and `faces_of(photograph) -> [Face]` for all faces that a detector finds.

    Args:
        source: the folder of a run, an export or a released model.
        detector: finds the faces, likewise or `builtin`.
        align: how they are aligned, see FacePipeline.
        flip: add the embedding of the mirrored face.
        landmarks: a landmark model on each face; None: the detector's own landmarks.
        limits: QualityLimits; the only face of a photograph that is beyond them is a DataError with the reasons.
    """
    from ppface import predict

    model, origin = predict.open_predictor(source)
    pipeline = predict.FacePipeline(detector, predict.FaceEmbedder(_embedding(source, model)), landmarks, align, flip=flip)

    def faces_of(image: Any) -> list[Any]:
        faces = pipeline(image)
        if limits is not None and len(faces) == 1 and (refusals := limits.refusals(faces[0])):
            raise DataError("; ".join(refusals))
        return faces

    return identity_of(model, origin, pipeline), faces_of


def identity_of(model: Any, origin: Any, pipeline: Any) -> ModelIdentity:
    """What a gallery is bound to whose embeddings are those of a FacePipeline.

    Args:
        model, origin: of the pipeline's embedder, as of `predict.open_predictor`.
        pipeline: a FacePipeline.
    """
    height, width = pipeline.size
    size = model({"image": np.zeros((1, 3, height, width), np.uint8)})["embedding"].shape[1]
    return ModelIdentity(origin.identity(), size, "cosine", f"{pipeline.align} at {height}x{width}", "RGB", pipeline.mirrored)


def pictures_of(given: str) -> list[tuple[str, Path]]:
    """(path for the name, file) of a picture or of all in a folder."""
    from ppface.data.pictures import picture_files

    path = Path(given)
    if not path.exists():
        raise DataError(f"{given}: expected a picture or a folder of pictures, no such file exists")
    files = picture_files.find(path).files if path.is_dir() else [path.name]
    if not files:
        raise DataError(f"{given}: expected pictures in this folder, found none")
    return [(file, path / file if path.is_dir() else path) for file in files]
