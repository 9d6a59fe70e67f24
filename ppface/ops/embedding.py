"""Embeds aligned faces with a live or an exported model, and compares two embeddings."""

from collections.abc import Callable

import numpy as np

from ppface.core.errors import DataError


def embed(predict: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], images: list[np.ndarray], flip: bool = False) -> np.ndarray:
    """The embeddings of pictures of one size.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}.
        images: (H, W, 3) uint8 RGB each.
        flip: add the embedding of the mirrored picture.

    Shape:
        (N, D) float32, before L2 normalisation

    Raises:
        DataError: a model without the output "embedding".
    """
    pixels = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))
    rows = _run(predict, pixels)
    return rows + _run(predict, np.ascontiguousarray(pixels[..., ::-1])) if flip else rows


def _run(predict: Callable, pixels: np.ndarray) -> np.ndarray:
    outputs = predict({"image": pixels})
    if "embedding" not in outputs:
        raise DataError(f"expected a model with the output 'embedding', received one with {', '.join(sorted(outputs))}")
    return np.asarray(outputs["embedding"], np.float32)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine between two embeddings, -1..1; 0 if one of them is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths > 0 else 0.0
