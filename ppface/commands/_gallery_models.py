"""Models for galleries: pictures of aligned faces to faces with embeddings, and the identity that a gallery is bound to."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppface.core.errors import WeightsError
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
    if "embedding" not in model.outputs():
        raise WeightsError(f"{source}: expected a model with the output 'embedding', received one with {', '.join(model.outputs())}")
    embedder = predict.FaceEmbedder(model, flip, resize)

    def faces_of(image: np.ndarray | str | os.PathLike) -> list[AlignedFace]:
        name = "" if isinstance(image, np.ndarray) else os.fspath(image)
        aligned = embedder.to_input_size(Picture.given(image).decode(), name)
        found = described(model, [aligned], flip)
        return [AlignedFace(found["embedding"][0], float(found["quality"][0]) if "quality" in found else None, aligned)]

    height, width = model.test_size.of(112, 112)
    size = described(model, [np.zeros((height, width, 3), np.uint8)])["embedding"].shape[1]
    return ModelIdentity(origin.identity(), size, "cosine", f"aligned pictures of {height}x{width}", "RGB", flip), faces_of
