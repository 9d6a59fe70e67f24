"""Embeds aligned faces with a live or an exported model, and compares two embeddings."""

from collections.abc import Callable, Sequence

import numpy as np

from ppface.core.errors import DataError

Predict = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def embed(predict: Predict, images: list[np.ndarray], flip: bool = False) -> np.ndarray:
    """The embeddings of pictures of one size: "embedding" of `described`, (N, D) float32."""
    return described(predict, images, flip)["embedding"]


def described(predict: Predict, images: list[np.ndarray], flip: bool = False) -> dict[str, np.ndarray]:
    """What a model reports of pictures of one size.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}.
        images: (H, W, 3) uint8 RGB each.
        flip: embedding = that of the picture + that of the mirrored picture; the others: the mean of both.

    Shape:
        "embedding" (N, D), before L2 normalisation unless the model does it; "norm" (N,), its length before; of models with variances
        (UncertaintyHead) "variance" (N, D) of the unit embedding; of models with a quality (UncertaintyHead, MagMargin) "quality" (N,),
        higher is better; all float32

    Raises:
        DataError: a model without the output "embedding".
    """
    pixels = _stacked(images)
    found = _run(predict, pixels)
    if flip:
        mirrored = _run(predict, _mirrored(pixels))
        found = {name: rows + mirrored[name] if name == "embedding" else (rows + mirrored[name]) / 2 for name, rows in found.items()}
    return found


def outputs(predict: Predict, images: list[np.ndarray], names: Sequence[str], flip: bool = False) -> dict[str, np.ndarray]:
    """Some of what a model reports of pictures of one size, as `described` names it; with `flip` also "flipped", the embedding of the
    mirrored pictures.

    Raises:
        DataError: a model without one of them.
    """
    pixels = _stacked(images)
    found = _run(predict, pixels, names)
    chosen = {name: found[name] for name in names}
    return chosen | {"flipped": _run(predict, _mirrored(pixels))["embedding"]} if flip else chosen


def _stacked(images: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def _mirrored(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., ::-1])


def _run(predict: Predict, pixels: np.ndarray, needed: Sequence[str] = ("embedding",)) -> dict[str, np.ndarray]:
    answer = predict({"image": pixels})
    for name in needed:
        if name not in answer:
            raise DataError(f"expected a model with the output '{name}', received one with {', '.join(sorted(answer))}")
    found = {name: np.asarray(answer[name], np.float32) for name in ("embedding", "norm", "variance", "quality") if name in answer}
    norm = found["norm"].reshape(-1) if "norm" in found else np.linalg.norm(found["embedding"], axis=1)
    return found | {"norm": norm}


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine between two embeddings, -1..1; 0 if one of them is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths > 0 else 0.0


def normalised(x: np.ndarray | None) -> np.ndarray:
    """(..., D) -> float64 of the same directions with length 1; zeros stay zeros."""
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(length == 0, 1, length)
