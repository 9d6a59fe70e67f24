"""What a gallery is bound to, and what a search returns."""

from dataclasses import asdict, dataclass

import numpy as np

from ppface.core.errors import DataError
from ppface.core.person_name import UNKNOWN, checked_name, kept_name

__all__ = ["UNKNOWN", "ChangedError", "Match", "ModelIdentity", "checked_name", "kept_name", "unit"]


class ChangedError(DataError):
    """A gallery that has another key, or another file, than the one that was opened."""


@dataclass(frozen=True)
class ModelIdentity:
    """The model that embeds for a gallery; embeddings of another one cannot be compared with it.

    Attributes:
        digest: of config and weights or of the exported files, as `ppface.predict.open_predictor(...)[1].identity()`.
        size: numbers of an embedding.
        metric: of scores: "cosine".
        alignment: how faces are brought to the model's input, in any words; equal words mean equal alignment.
        order: of the colours of the pictures given to it, "RGB" or "BGR".
        flip: whether the embedding of the mirrored face is added.
    """

    digest: str
    size: int
    metric: str = "cosine"
    alignment: str = "aligned"
    order: str = "RGB"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.metric != "cosine" or self.order not in ("RGB", "BGR") or self.size < 1:
            raise DataError(
                "ModelIdentity: expected metric 'cosine', order 'RGB' or 'BGR' and a size of at least 1, "
                f"received {self.metric!r}, {self.order!r} and {self.size}"
            )

    def differences(self, other: "ModelIdentity") -> str:
        """`size 512, received 128; ...`; empty if both are equal."""
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return "; ".join(f"{name} {_short(mine)}, received {_short(theirs)}" for (name, mine), theirs in pairs if mine != theirs)


@dataclass(frozen=True)
class Match:
    """A person that a search found.

    Attributes:
        name: "Unknown" if the score is below the threshold.
        score: cosine, -1..1.
        image: the most similar image's id; None for a mean of images, or Unknown.
    """

    name: str
    score: float
    image: str | None = None


def unit(embeddings: np.ndarray, size: int) -> np.ndarray:
    """(N, size) float32 of length 1 from (N, size) or (size,).

    Raises:
        DataError: another size, numbers that are not finite, or an embedding of zeros.
    """
    try:
        rows = np.atleast_2d(np.asarray(embeddings, np.float64))
    except (TypeError, ValueError):
        raise DataError(f"expected embeddings of {size} numbers, received {type(embeddings).__name__}") from None
    if rows.ndim != 2 or rows.shape[1] != size:
        raise DataError(f"expected embeddings of {size} numbers, as the gallery has, received shape {np.shape(embeddings)}")
    if not np.isfinite(rows).all():
        raise DataError("expected embeddings of finite numbers, received NaN or infinity: the model is damaged")
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not (largest > 0).all():
        raise DataError("expected embeddings with a direction, received only zeros: the model is damaged")
    rows = rows / largest  # squares of very large or small numbers would overflow or vanish
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) > 60 else text
