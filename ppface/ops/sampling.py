"""Sampling of the classes that a training step uses (partial FC)."""

import numpy as np


def sample_classes(positives: np.ndarray, class_num: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """All classes of the batch, filled up to ratio * class_num with other classes, drawn uniformly without replacement.

    Args:
        positives: classes of the batch, repeated or not, 0..class_num-1.
        class_num: number of all classes.
        ratio: above 0, at most 1.
        rng: random generator of the draw.

    Shape:
        (N,) int64 -> (n,) int64, increasing, n = max(different positives, floor(ratio * class_num), 1)
    """
    positives = np.unique(positives)
    wanted = max(1, int(ratio * class_num)) - len(positives)
    if wanted <= 0:
        return positives
    others = class_num - len(positives)
    drawn = rng.choice(others, min(wanted, others), replace=False, shuffle=False)
    # the k-th negative class: k plus the number of positives before it
    negatives = drawn + np.searchsorted(positives - np.arange(len(positives)), drawn, side="right")
    return np.sort(np.concatenate([positives, negatives]))
