"""Embeds aligned faces with a live or an exported model, and compares two embeddings."""

from collections.abc import Callable, Sequence

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
    found = outputs(predict, images, ("embedding",), flip)
    return found["embedding"] + found["flipped"] if flip else found["embedding"]


def outputs(predict: Callable, images: list[np.ndarray], names: Sequence[str], flip: bool = False) -> dict[str, np.ndarray]:
    """Outputs of a model for pictures of one size as float32, and with `flip` the embedding of the mirrored pictures as "flipped".

    Raises:
        DataError: a model without one of them.
    """
    pixels = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))
    found = _run(predict, pixels, names)
    if flip:
        found["flipped"] = _run(predict, np.ascontiguousarray(pixels[..., ::-1]), ("embedding",))["embedding"]
    return found


def _run(predict: Callable, pixels: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    answered = predict({"image": pixels})
    for name in names:
        if name not in answered:
            raise DataError(f"expected a model with the output '{name}', received one with {', '.join(sorted(answered))}")
    return {name: np.asarray(answered[name], np.float32) for name in names}


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine between two embeddings, -1..1; 0 if one of them is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths > 0 else 0.0
