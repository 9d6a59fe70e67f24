"""Thresholds of a gallery at wanted false match rates, from labelled embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ppface.core.errors import DataError

LEAST_ERRORS = 30
BLOCK = 1024
RESAMPLES = 1000


@dataclass(frozen=True)
class Calibration:
    """Thresholds by false match rate.

    Attributes:
        rate: the chosen false match rate: that of two images of different people.
        points: for each rate {"rate", "threshold", "fmr", "fmr_95", "fnmr", "fnmr_95"}; fnmr is None without genuine pairs.
        people, images, genuine, impostors: what it was measured on.
    """

    rate: float
    points: list[dict] = field(default_factory=list)
    people: int = 0
    images: int = 0
    genuine: int = 0
    impostors: int = 0

    @property
    def threshold(self) -> float:
        return next(point["threshold"] for point in self.points if point["rate"] == self.rate)


def calibrate(vectors: np.ndarray, people: np.ndarray, rates: Sequence[float] = (0.01, 0.001), use: float | None = None) -> Calibration:
    """Thresholds at which at most these shares of the pairs of different people match.

    A rate needs 30 expected false matches: the rule of 30 (Doddington et al. 2000, The NIST speaker recognition evaluation,
    https://doi.org/10.1016/S0167-6393(99)00080-1, section 6; ISO/IEC 19795-1 has it too): with 30 errors the true rate is within 30 % of
    the measured one with a confidence of 90 %. Intervals: 2.5 and 97.5 % of 1,000 resamples of the people, with all their images, as pairs
    of one person are not independent (Bolle et al. 2004, https://doi.org/10.1007/978-3-540-25948-0_15).

    Args:
        vectors: unit vectors.
        people: the person of each, any values.
        rates: each above 0 and below 1.
        use: the rate whose threshold searches use; None: the first.

    Shape:
        (N, D), (N,) -> Calibration

    Raises:
        DataError: fewer than two people, or a rate that the number of pairs cannot show.
    """
    use = next(iter(rates), 0.0) if use is None else use
    if use not in rates or not all(0 < rate < 1 for rate in rates):
        raise DataError(f"calibrate: expected rates between 0 and 1 and one of them to use, received {list(rates)} and {use}")
    names, owner = np.unique(people, return_inverse=True)
    images = np.bincount(owner)
    total = int((len(owner) ** 2 - (images**2).sum()) // 2)
    for rate in rates:
        if rate * total < LEAST_ERRORS:
            needed = int(np.ceil(LEAST_ERRORS / rate))
            raise DataError(
                f"calibrate: {total:,} pairs of different people cannot show a false match rate of {rate:g}: expected at least {needed:,} "
                f"({LEAST_ERRORS} expected errors); add people, or take a rate of {LEAST_ERRORS / max(total, LEAST_ERRORS):.2g} or more"
            )
    impostors, a, b, genuine, same = _pairs(vectors.astype(np.float32), owner, int(max(rates) * total) + 1)
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    points = []
    for rate in rates:
        threshold = float(np.nextafter(impostors[int(rate * total)], np.float32(2)))
        matching = int(np.searchsorted(-impostors, -threshold, side="right"))
        pairs = ((draws @ images) ** 2 - draws**2 @ images**2) / 2
        false = np.array([(draw[a[:matching]] * draw[b[:matching]]).sum() for draw in draws])
        point: dict = {"rate": rate, "threshold": threshold, "fmr": matching / total, "fmr_95": _interval(false, pairs)}
        missed = np.bincount(same[genuine < threshold], minlength=len(names))
        all_genuine = images * (images - 1) // 2
        has = len(genuine) > 0
        point["fnmr"] = float(missed.sum() / len(genuine)) if has else None
        point["fnmr_95"] = _interval(draws @ missed, draws @ all_genuine) if has else None
        points.append(point)
    return Calibration(use, points, len(names), len(owner), len(genuine), total)


def _pairs(vectors: np.ndarray, owner: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """The largest impostor scores, descending, with their two people; all genuine scores with their person."""
    kept: list[np.ndarray] = [np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)]
    genuine, same = [], []
    for start in range(0, len(vectors), BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T
        i, j = np.indices(scores.shape, sparse=True)
        later = j > i + start
        equal = owner[start : start + BLOCK, None] == owner
        rows, _ = np.nonzero(later & equal)
        genuine.append(scores[later & equal])
        same.append(owner[start + rows])
        low = kept[0].min() if len(kept[0]) >= count else -np.inf
        rows, columns = np.nonzero(later & ~equal & (scores >= low))
        more = [scores[rows, columns], owner[start + rows], owner[columns]]
        kept = [np.concatenate(pair) for pair in zip(kept, more, strict=True)]
        order = np.argsort(-kept[0], kind="stable")[:count]
        kept = [array[order] for array in kept]
    return kept[0], kept[1], kept[2], np.concatenate(genuine), np.concatenate(same)


def _interval(errors: np.ndarray, of: np.ndarray) -> list[float]:
    shares = errors[of > 0] / of[of > 0]
    return [float(value) for value in np.quantile(shares, [0.025, 0.975])] if len(shares) else [0.0, 1.0]
