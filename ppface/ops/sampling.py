"""Which classes a training step sees, when it does not see all."""

import numpy as np


def sample_classes(positives: np.ndarray, class_num: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """All classes of the batch and others, drawn evenly without repetition, up to ratio * class_num; the batch's alone if they are more.

    Args:
        positives: classes of the batch, repeated or not, 0..class_num-1.
        class_num: how many there are.
        ratio: above 0, at most 1.
        rng: of the draw.

    Shape:
        (N,) int64 -> (n,) int64, increasing, n = max(different positives, floor(ratio * class_num), 1)
    """
    positives = np.unique(positives)
    wanted = max(1, int(ratio * class_num)) - len(positives)
    if wanted <= 0:
        return positives
    others = class_num - len(positives)
    drawn = rng.choice(others, min(wanted, others), replace=False, shuffle=False)
    # the k-th class that is no positive: skip as many positives as lie before it
    negatives = drawn + np.searchsorted(positives - np.arange(len(positives)), drawn, side="right")
    return np.sort(np.concatenate([positives, negatives]))
