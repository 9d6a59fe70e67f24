"""WIDER FACE's evaluation on its real labels."""

import subprocess
import sys

import numpy as np
import pytest

from ppface.evaluators import wider_face
from ppface.evaluators.wider_files import read_ground_truth, write_predictions


@pytest.fixture
def wider(shared_data):
    return shared_data / "wider"


def test_predictions_of_a_real_detector_reach_the_reference_values(wider, tmp_path):
    with np.load(wider / "predictions_retinaface.npz") as file:
        rows = np.split(file["boxes"], file["offsets"][1:-1])
        predictions = {tuple(key.split("/")): part for key, part in zip(file["keys"].tolist(), rows, strict=True)}
    got = wider_face.evaluate(predictions, wider / "ground_truth")
    assert got == pytest.approx({"easy": 0.9448373912694071, "medium": 0.9244706568389409, "hard": 0.8153250447873874}, abs=1e-9)
    write_predictions(tmp_path, predictions)
    assert wider_face.evaluate(str(tmp_path), str(wider / "ground_truth")) == pytest.approx(got, abs=1e-6)


def test_the_ground_truth_against_itself_is_perfect(wider):
    truth = read_ground_truth(wider / "ground_truth")
    predictions = {name: np.insert(boxes, 4, 1.0, axis=1) for name, boxes in zip(truth.names, truth.faces, strict=True)}
    curves = wider_face.evaluate_curves(predictions, truth)
    assert {subset: f"{curve.ap:.3f}" for subset, curve in curves.items()} == {"easy": "1.000", "medium": "1.000", "hard": "1.000"}
    assert {subset: curve.faces for subset, curve in curves.items()} == {"easy": 7211, "medium": 13319, "hard": 31958}
    # not 1 to the last digit: one face is labelled twice, so that the first label takes both predictions, and one has a negative width
    assert [round((1 - curve.recall[-1]) * curve.faces) for curve in curves.values()] == [0, 0, 2]


def test_importing_it_costs_no_paddle_matplotlib_or_scipy():
    code = "import sys, ppface.evaluators.wider_face; print([m for m in ('paddle', 'matplotlib', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
