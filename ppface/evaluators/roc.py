"""ROC curves from scores, and the true positive rate at a false accept rate."""

from typing import Literal

import numpy as np

Rule = Literal["nearest", "strict"]


def roc(scores: np.ndarray, same: np.ndarray, drop: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1), as scikit-learn's roc_curve,
    https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_curve.html; `drop` is its drop_intermediate: points without a
    change of direction are left out, which changes the nearest one.

    Shape:
        (P,), (P,) bool -> (K,), (K,)
    """
    order = np.argsort(-scores)  # equal scores are one threshold: their order does not matter, and sorting without it is faster
    ordered = scores[order]
    last = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]
    true = np.cumsum(same[order])[last]
    false = 1 + last - true
    if drop and len(last) > 2:
        turns = np.flatnonzero(np.r_[True, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), True])
        true, false = true[turns], false[turns]
    return np.r_[0, false] / false[-1], np.r_[0, true] / true[-1]


def at_far(fpr: np.ndarray, tpr: np.ndarray, far: float, rule: Rule) -> float:
    """The true positive rate at a false accept rate, see `verify`; of equally near points the one with the larger FPR."""
    if rule == "strict":
        return float(tpr[np.searchsorted(fpr, far, side="right") - 1])
    return float(tpr[len(fpr) - 1 - np.abs(fpr - far)[::-1].argmin()])


def rate_name(rate: float) -> str:
    """1e-4 for 0.0001, 2.5e-4 for 0.00025."""
    digits, exponent = f"{rate:.6e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"
