"""Error-versus-reject curves: what verification gains if the pairs with the images of lowest quality are rejected."""

from dataclasses import dataclass

import numpy as np

from ppface.core.errors import DataError
from ppface.evaluators.folds import needed


@dataclass(frozen=True, eq=False)
class ErrorReject:
    """An error-versus-reject curve.

    Attributes:
        fmr: the false match rate among all pairs of different people, at most the one asked for.
        threshold: pairs with a distance below it match.
        rejected: (K,) shares of rejected pairs, rising from 0.
        fnmr: (K,) false non-match rate among the remaining pairs of one person.
    """

    fmr: float
    threshold: float
    rejected: np.ndarray
    fnmr: np.ndarray


def check_fmr(fmr: float, different: int) -> None:
    """Raises DataError for a rate outside 0..1, or one that so many pairs of different people cannot show."""
    if not 0 < fmr < 1:
        raise DataError(f"expected an FMR above 0 and below 1, received {fmr}")
    if different < needed(fmr):
        raise DataError(f"expected at least {needed(fmr):,} pairs of different people for an FMR of {fmr:g}, received {different:,}")


def error_reject(distance: np.ndarray, issame: np.ndarray, quality1: np.ndarray, quality2: np.ndarray, fmr: float = 1e-3) -> ErrorReject:
    """The curve of Grother and Tabassi 2007, https://doi.org/10.1109/TPAMI.2007.1019.

    The threshold is the largest with this FMR among all pairs, and stays. Pairs are rejected in the order of the lower quality of their
    two images, those with equal quality together, as long as pairs of one person remain.

    Args:
        distance: (P,) smaller for one person.
        issame: (P,) whether both images show one person.
        quality1: (P,) of the first images, higher is better.
        quality2: (P,) of the second ones.
        fmr: false match rate, above 0 and below 1.

    Raises:
        DataError: arrays of different lengths, numbers that are not finite, pairs of one kind alone, or too few pairs for the FMR.
    """
    distance, issame = np.asarray(distance, np.float64), np.asarray(issame).astype(bool)
    quality = np.minimum(np.asarray(quality1, np.float64), np.asarray(quality2, np.float64))
    if distance.ndim != 1 or not distance.shape == issame.shape == quality.shape:
        shapes = f"{distance.shape}, {issame.shape} and {quality.shape}"
        raise DataError(f"distance, issame, quality: expected one number for each pair, received shapes {shapes}")
    for name, array in (("distance", distance), ("quality", quality)):
        if (bad := np.flatnonzero(~np.isfinite(array))).size:
            raise DataError(f"{name}: expected finite numbers, received {array[bad[0]]} for pair {bad[0]}")
    if not issame.any():
        raise DataError("issame: expected pairs of one person, received none")
    check_fmr(fmr, int((~issame).sum()))
    impostors = np.sort(distance[~issame])
    threshold = float(impostors[int(fmr * len(impostors) + 1e-9)])
    order = np.argsort(quality, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(quality[order]) > 0])  # the first pair that remains, of each distinct quality
    same, missed = issame[order], (issame & (distance >= threshold))[order]
    remaining, errors = np.cumsum(same[::-1])[::-1][first], np.cumsum(missed[::-1])[::-1][first]
    some = remaining > 0
    return ErrorReject(float((impostors < threshold).mean()), threshold, first[some] / len(distance), errors[some] / remaining[some])
