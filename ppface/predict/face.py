"""The result of a prediction: one face of a picture."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
        box: (x1, y1, x2, y2) in pixels of the original picture.
        score: 0..1.
        landmarks: (K, 2) x, y in pixels of the original picture, or None if the model predicts none.
        embedding: (D,) before L2 normalisation, or None for a detector; `ppface.ops.embedding.similarity` compares two.
        variance: (D,) of the unit embedding, or None if the model predicts none; `ppface.evaluators.uncertain` fuses and compares such.
        quality: higher is better, or None if the model predicts none; of a `FacePipeline` then the length of the embedding.
        aligned: (H, W, 3) uint8 RGB, what a `FacePipeline` embedded; None if its landmarks determine no alignment, and elsewhere.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = None
    embedding: np.ndarray | None = None
    variance: np.ndarray | None = None
    quality: float | None = None
    aligned: np.ndarray | None = None
