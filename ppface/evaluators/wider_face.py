"""AP on the WIDER FACE validation set, from arrays or from text files in the official layout."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ppface.evaluators.ap import Curve, curves
from ppface.evaluators.bootstrap import check_resamples, intervals, named
from ppface.evaluators.wider_files import GroundTruth, Name, in_order, read_ground_truth, read_predictions


def evaluate(predictions: str | Path | Mapping[Name, np.ndarray], ground_truth_dir: str | Path, bootstrap: int = 0) -> dict[str, float]:
    """AP of the subsets easy, medium and hard: Yang et al. 2016, https://arxiv.org/abs/1511.06523, by the official protocol.

    Args:
        predictions: a folder of text files `event/picture.txt` (name, count, then `x y w h score` lines), or
            {(event, image name without extension): (N, 5) array of x, y, w, h, score}, in pixels of the original pictures, in any order.
            A picture without a file or key counts as having no detections; the number of such pictures is logged.
        ground_truth_dir: the folder of wider_face_val.mat, wider_easy_val.mat, wider_medium_val.mat and wider_hard_val.mat.
        bootstrap: resamples of the pictures for 95 % intervals, such as 1000; 0: no intervals.

    Returns:
        {"easy": AP, "medium": AP, "hard": AP}, each 0..1; with `bootstrap` also "easy_ci95_low", "easy_ci95_high" and so on.

    Raises:
        DataError: missing or malformed files, predictions for an unknown picture, wrong shapes, numbers that are not finite.
        ValueError: bootstrap between 0 and 100.
    """
    check_resamples("evaluate", bootstrap)
    truth = read_ground_truth(ground_truth_dir)
    if not isinstance(predictions, Mapping):
        predictions = read_predictions(predictions)
    rows = in_order(predictions, truth.names)
    found = {subset: curve.ap for subset, curve in curves(rows, truth.faces, truth.counted).items()}
    return found | (named(intervals(rows, truth.faces, truth.counted, bootstrap)) if bootstrap else {})


def evaluate_curves(predictions: Mapping[Name, np.ndarray], truth: GroundTruth) -> dict[str, Curve]:
    """Like `evaluate`, but returns the whole precision-recall curves and takes predictions and labels that were read before."""
    return curves(in_order(predictions, truth.names), truth.faces, truth.counted)
