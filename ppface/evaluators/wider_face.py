"""WIDER FACE's AP on its validation set, from arrays or from text files in the official layout."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ppface.evaluators.ap import Curve, curves
from ppface.evaluators.wider_files import GroundTruth, Name, in_order, read_ground_truth, read_predictions


def evaluate(predictions: str | Path | Mapping[Name, np.ndarray], ground_truth_dir: str | Path) -> dict[str, float]:
    """AP of the subsets easy, medium and hard: Yang et al. 2016, https://arxiv.org/abs/1511.06523, by the official protocol.

    Args:
        predictions: a folder of text files `event/picture.txt` (name, count, then `x y w h score` lines), or
            {(event, image name without extension): (N, 5) array of x, y, w, h, score}, in pixels of the original pictures, in any order.
            A picture without a file or key counts as one without predictions; the log reports how many there are.
        ground_truth_dir: the folder of wider_face_val.mat, wider_easy_val.mat, wider_medium_val.mat and wider_hard_val.mat.

    Returns:
        {"easy": AP, "medium": AP, "hard": AP}, each 0..1.

    Raises:
        DataError: missing or malformed files, predictions for an unknown picture, wrong shapes, numbers that are not finite.
    """
    return {subset: curve.ap for subset, curve in evaluate_curves(predictions, read_ground_truth(ground_truth_dir)).items()}


def evaluate_curves(predictions: str | Path | Mapping[Name, np.ndarray], truth: GroundTruth) -> dict[str, Curve]:
    """Like `evaluate`, with the whole precision-recall curves, and with labels that have been read before."""
    if not isinstance(predictions, Mapping):
        predictions = read_predictions(predictions)
    return curves(in_order(predictions, truth.names), truth.faces, truth.counted)
