"""Embeddings with variances, as of UncertaintyHead: several images of a person as one, and the score of a pair."""

from typing import Literal

import numpy as np

from ppface.core.errors import DataError
from ppface.evaluators.templates import fuse

ROWS = 256  # pairs per slice: the slices of all four arrays fit the CPU cache
TINY = 1e-10  # added to the divisor, as in the loss


def fuse_by_precision(
    mean: np.ndarray, variance: np.ndarray, template: np.ndarray, rule: Literal["sum", "min"] = "sum"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fusion of PFE, Shi and Jain 2019, https://arxiv.org/abs/1904.09658, section 4.2: for every dimension of a template's images

        mean = sum of mean / variance / sum of 1 / variance, then divided by its length;   variance = 1 / sum of 1 / variance

    Args:
        mean: (images, D) embeddings of any length; each is divided by its length first.
        variance: (images, D) of the unit embeddings, > 0.
        template: (images,) whole numbers, the ids.
        rule: "min": the variance is the least of the template's, as in https://github.com/seasonSH/Probabilistic-Face-Embeddings.

    Returns:
        (T,) sorted ids, (T, D) float64 unit vectors, (T, D) float64 variances

    Raises:
        DataError: arrays of different lengths, numbers that are not finite, or a variance that is not above 0.
    """
    mean, variance, template = np.asarray(mean), np.asarray(variance), np.asarray(template)
    _check(mean, variance, "mean", "variance")
    ids, means = fuse(mean, None, template, np.zeros(len(mean), int), norm=False, flip=False, weights=1 / variance.astype(np.float64))
    order = np.argsort(template, kind="stable")
    starts = np.searchsorted(template[order], ids)
    if rule == "min":
        return ids, means, np.minimum.reduceat(variance[order], starts).astype(np.float64)
    return ids, means, 1 / np.add.reduceat(1 / variance[order].astype(np.float64), starts)


def mutual_likelihood(mean1: np.ndarray, variance1: np.ndarray, mean2: np.ndarray, variance2: np.ndarray) -> np.ndarray:
    """The mutual likelihood score of pairs, https://arxiv.org/abs/1904.09658, section 4.1, higher for one person:

        -sum over dimensions of (x1 - x2)^2 / (v1 + v2) + ln(v1 + v2),   x: mean / its length

    `ppface.evaluators.roc` makes a ROC curve of scores.

    Args:
        mean1: (P, D) of the first images or templates, of any length.
        variance1: (P, D) of the unit embeddings, > 0.
        mean2: (P, D) of the second ones.
        variance2: (P, D) of the second ones.

    Returns:
        (P,) float64

    Raises:
        DataError: arrays of different shapes, numbers that are not finite, or a variance that is not above 0.
    """
    mean1, variance1, mean2, variance2 = (np.asarray(array) for array in (mean1, variance1, mean2, variance2))
    _check(mean1, variance1, "mean1", "variance1")
    _check(mean2, variance2, "mean2", "variance2")
    if mean1.shape != mean2.shape:
        raise DataError(f"mean1, mean2: expected one shape, received {mean1.shape} and {mean2.shape}")
    scores = np.empty(len(mean1))
    for start in range(0, len(scores), ROWS):
        rows = slice(start, start + ROWS)
        total = variance1[rows].astype(np.float64) + variance2[rows]
        scores[rows] = -((_unit(mean1[rows]) - _unit(mean2[rows])) ** 2 / (TINY + total) + np.log(total)).sum(axis=1)
    return scores


def _unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    length = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    return x / np.where(length == 0, 1, length)


def _check(mean: np.ndarray, variance: np.ndarray, first: str, second: str) -> None:
    if mean.ndim != 2 or mean.shape != variance.shape:
        raise DataError(f"{first}, {second}: expected two arrays (N, D), received {mean.shape} and {variance.shape}")
    for name, array, good in ((first, mean, np.isfinite(mean)), (second, variance, np.isfinite(variance) & (variance > 0))):
        if not good.all():
            row, column = np.argwhere(~good)[0]
            expected = "a finite number" if name == first else "a finite number above 0"
            raise DataError(f"{name}: expected {expected} everywhere, received {array[row, column]} in row {row}")
