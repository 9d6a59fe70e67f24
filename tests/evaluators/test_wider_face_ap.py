"""The official evaluation of a detector that looks at pictures itself."""

import json

import cv2
import numpy as np
import pytest

from ppface.core.config.spec import resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import DataError
from ppface.evaluators import MultiScale, WiderFaceAP
from ppface.evaluators.wider_face import evaluate
from ppface.ops.resize import TestSize


@pytest.fixture
def images(official, tmp_path):
    """The pictures of the ground truth, as JPEG files: a face is the brighter the larger it is; the second face of the last is missing."""
    for (event, image), faces in zip(official.names, official.faces, strict=True):
        pixels = np.zeros((80, 96, 3), "uint8")
        for x, y, w, h in faces[:1] if event == "1--Handshaking" else faces:
            pixels[y : y + h, x : x + w] = 150 + 3 * w
        path = tmp_path / "images" / event / f"{image}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])
    return tmp_path / "images"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_subsets_count_different_faces(official, images, detector, batch_size):
    evaluator = WiderFaceAP(str(images), str(official.folder), batch_size=batch_size)
    got = dict(evaluator(detector))
    assert evaluator.values() == list(got)
    # easy: two faces, both found, other finds are ignored; medium: three of four; hard: four of five
    assert got == pytest.approx({"easy": 1.0, "medium": 0.75, "hard": 0.8})


def test_results_are_written_so_that_the_official_tool_reads_them(official, images, detector, tmp_path):
    evaluator = WiderFaceAP(str(images), str(official.folder), TestSize("stretch", (160, 192)), save_dir=str(tmp_path / "results"))
    got = dict(evaluator(detector))
    assert evaluate(tmp_path / "results" / "predictions", official.folder) == pytest.approx(got, abs=1e-6)
    lines = (tmp_path / "results" / "predictions" / "0--Parade" / "a_1.txt").read_text().splitlines()
    assert lines[:2] == ["0--Parade/a_1.jpg", "2"]
    np.testing.assert_allclose([float(word) for word in lines[2].split()[:4]], [10, 10, 20, 20], atol=1.1)
    assert json.loads((tmp_path / "results" / "curves.json").read_text())["hard"]["faces"] == 5
    assert all((tmp_path / "results" / f"{subset}.png").stat().st_size > 10_000 for subset in got)


def test_intervals_follow_the_values(official, images, detector):
    evaluator = WiderFaceAP(str(images), str(official.folder), bootstrap=100)
    got = dict(evaluator(detector))
    assert evaluator.values() == list(got)
    assert list(got)[:5] == ["easy", "medium", "hard", "easy_ci95_low", "easy_ci95_high"]
    assert got["hard_ci95_low"] < 0.8 < got["hard_ci95_high"] <= 1 == got["easy_ci95_low"]


def test_several_views_may_be_taken(official, images, detector):
    looks = []

    def predict(batch):
        looks.append(batch["image"].shape[2:])
        return detector(batch)

    got = dict(WiderFaceAP(str(images), str(official.folder), augmented=MultiScale([2.0]))(predict))
    assert got["easy"] == 1.0
    assert looks == [(80, 96), (80, 96), (160, 192)] * 3


def test_it_is_written_in_yaml(official, images):
    text = f"""
        name: WiderFaceAP
        images: {images}
        ground_truth: {official.folder}
        size: {{mode: long_side, size: [640, 640]}}
        augmented: {{name: MultiScale, scales: [0.5, 1.5], vote_iou: 0.4}}
    """
    evaluator = resolve(parse(text, "run.yml"), kind="evaluator", default="FaceAP")()
    assert isinstance(evaluator, WiderFaceAP)
    assert evaluator.size.of(100, 200) == (320, 640)
    assert (evaluator.augmented.scales, evaluator.augmented.vote_iou) == ([0.5, 1.5], 0.4)


def test_pictures_that_are_missing(official, images):
    with pytest.raises(DataError) as caught:
        WiderFaceAP(str(images / "no"), str(official.folder))
    expected = "no such folder; expected the validation pictures as 0--Parade/0_Parade_marchingband_1_465.jpg"
    assert str(caught.value) == f"{images / 'no'}: {expected}"
    (images / "0--Parade" / "a_2.jpg").unlink()
    with pytest.raises(DataError) as caught:
        WiderFaceAP(str(images), str(official.folder))
    path = images / "0--Parade" / "a_2.jpg"
    assert str(caught.value) == f"{path}: no such file; 1 of 3 validation pictures are missing in {images}"


def test_wrong_arguments(official, images):
    with pytest.raises(ValueError) as caught:
        WiderFaceAP(str(images), str(official.folder), batch_size=0)
    assert str(caught.value) == "WiderFaceAP: expected batch_size of at least 1, received 0"


def test_all_pictures_are_looked_at_before_training(official, images, detector):
    evaluator = WiderFaceAP(str(images), str(official.folder))
    evaluator.check(detector)
    evaluator.paths[1].write_text("<html>")
    evaluator.paths[2].write_bytes(evaluator.paths[2].read_bytes()[:100])
    with pytest.raises(DataError) as caught:
        evaluator.check(detector)
    first, second = str(caught.value).splitlines()
    assert first == f"{evaluator.paths[1]}: a web page or other markup, expected a picture: check its download"
    assert second.startswith(f"{evaluator.paths[2]}: broken picture: ")
