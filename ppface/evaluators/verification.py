"""Verification: whether two pictures show one person, on sets of labelled pairs."""

from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.evaluators import folds as scoring


class Scores(dict[str, Any]):
    """What `evaluate` returns. It holds no TAR at a FAR that the pairs are too few for: asking for one is an error that says so."""

    def __init__(self, values: dict[str, Any], different: int):
        super().__init__(values)
        self.different = different

    def __missing__(self, name: str) -> float:
        if name not in scoring.FARS:
            raise KeyError(name)
        needed = scoring.needed(scoring.FARS[name])
        raise DataError(f"{name}: expected at least {needed:,} pairs of different people, received {self.different:,}: too few to show it")


def evaluate(
    embeddings1: np.ndarray | str | Path, embeddings2: np.ndarray | str | Path, issame: np.ndarray | list[bool], folds: int = 10
) -> Scores:
    """The k-fold protocol of LFW: Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/lfw.pdf.

    Squared L2 distance of L2-normalised embeddings; thresholds 0..4 in steps of 0.01; folds are the pairs in their order; each is tested at
    the threshold that is best on the others (the smallest of several).

    Args:
        embeddings1: (N, D) of the first pictures, or the `.npy` file that holds them; any length, finite.
        embeddings2: (N, D) of the second pictures, or their `.npy` file.
        issame: (N,) whether both pictures show one person.
        folds: how many, 2..N.

    Returns:
        "accuracy" and "std": mean and standard deviation over the folds; "accuracy_ci95": (low, high), Wilson's interval of the accuracy
        among N pairs; "threshold": mean of the folds' thresholds of squared distance; "auc" and "eer": of the ROC curve over all pairs;
        "tar@1e-1" ... "tar@1e-4": mean over folds of the share of same pairs accepted, at the threshold that the other folds give that
        FAR (interpolated in steps of 0.001), as far as there are 1 / FAR pairs of different people: beyond, the key is absent, and
        asking for it raises a DataError.

    Raises:
        DataError: lengths that differ, numbers that are not finite, folds out of range, or a fold with pairs of one class alone.
    """
    distance = scoring.squared_distances(_array(embeddings1), _array(embeddings2))
    return summary(scoring.split(distance, np.asarray(issame), folds))


def summary(pairs: scoring.Folds) -> Scores:
    """The numbers of `evaluate` from distances."""
    accuracy, thresholds = scoring.accuracies(pairs)
    far, tar = scoring.roc(pairs.distance, pairs.issame)
    mean = float(accuracy.mean())
    values = {
        "accuracy": mean,
        "std": float(accuracy.std()),
        "accuracy_ci95": scoring.wilson(mean, len(pairs.distance)),
        "threshold": float(thresholds.mean()),
        "auc": scoring.auc(far, tar),
        "eer": scoring.eer(far, tar),
        **scoring.tar_at_far(pairs),
    }
    return Scores(values, int(pairs.size[:, 0].sum()))


def _array(embeddings: np.ndarray | str | Path) -> np.ndarray:
    if not isinstance(embeddings, str | Path):
        return np.asarray(embeddings)
    try:
        return np.load(embeddings, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{embeddings}: expected a .npy file of embeddings ({error})") from None
