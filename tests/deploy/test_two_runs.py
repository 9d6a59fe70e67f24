"""The faces of a fine and a coarse run: which are kept; ppface and deploy/python."""

import shutil

import detector
import numpy as np
import pytest
import two_runs as deployed
import yaml

from ppface import predict
from ppface.data.pictures.picture import Picture
from ppface.evaluators.detect import detect
from ppface.ops.two_runs import merged


def rows(*faces):
    return np.array(faces, "float64").reshape(-1, 5)


def area(box):
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def common(a, b):
    return area([*np.maximum(a[:2], b[:2]), *np.minimum(a[2:4], b[2:4])])


def reference(fine, coarse, large):
    """The rule, pair by pair."""
    faces = [row for row in coarse if max(row[2] - row[0], row[3] - row[1]) >= large]
    small = [row for row in fine if max(row[2] - row[0], row[3] - row[1]) < large]
    whole = [a for a in small if not any(common(a, b) > 0.5 * area(a) and b[4] >= 0.5 * a[4] for b in faces)]
    kept = []
    for row in sorted([*whole, *faces], key=lambda row: -row[4]):
        if all(common(row, other) / (area(row) + area(other) - common(row, other)) <= 0.4 for other in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, np.shape(fine)[1])


def drawn(rng, count, side):
    corner, size = rng.uniform(0, 300, (count, 2)), rng.uniform(10, side, (count, 2))
    return np.concatenate([corner, corner + size, rng.uniform(0, 1, (count, 1)), rng.uniform(0, 300, (count, 10))], axis=1)


@pytest.mark.parametrize("implementation", [merged, deployed.merged])
def test_against_the_rule_in_loops(rng, implementation):
    dropped = 0
    for _ in range(30):
        fine, coarse = drawn(rng, 20, 150), drawn(rng, 8, 400)
        expected = reference(fine, coarse, 120)
        dropped += 28 - len(expected)
        np.testing.assert_array_equal(implementation(fine, coarse, 120), expected)
    assert dropped > 100


@pytest.mark.parametrize("implementation", [merged, deployed.merged])
def test_a_large_face_takes_away_its_parts_and_leaves_the_face_beside_it(implementation):
    face = [0, 0, 300, 400, 0.45]
    eye, beside, better = [50, 100, 120, 160, 0.89], [290, 0, 400, 120, 0.7], [100, 100, 180, 180, 0.95]
    too_large, too_small = [0, 0, 250, 330, 0.99], [310, 10, 360, 60, 0.6]
    found = implementation(rows(eye, beside, better, too_large), rows(too_small, face), 200)
    assert found.tolist() == [better, beside, face]


@pytest.mark.parametrize("implementation", [merged, deployed.merged])
def test_no_faces_and_boxes_without_area(implementation):
    none = np.zeros((0, 15))
    assert implementation(none, none, 10).shape == (0, 15)
    point = [5, 5, 5, 5, 0.5]
    assert implementation(rows(point), rows([0, 0, 100, 100, 0.9]), 50).tolist() == [[0, 0, 100, 100, 0.9], point]


@pytest.fixture(scope="module")
def detectors(trial, tmp_path_factory):
    """The same detector with a coarser run live, exported and deployed."""
    policy = {"mode": "long_side", "size": [160, 160], "max_side": 0, "coarser": 0.5, "large": 70.0}
    folder = tmp_path_factory.mktemp("coarser") / "export"
    shutil.copytree(trial.export, folder)
    about = yaml.safe_load((folder / "inference.yml").read_text())
    about["input"]["test"] = policy
    (folder / "inference.yml").write_text(yaml.safe_dump(about))
    live = predict.load_predictor(trial.config, trial.weights, overrides=[f"model.input.test={policy}"])
    return predict.FaceDetector(live), predict.load(folder, threads=1), detector.FaceDetector(folder, threads=1)


def scene(size):
    coarse = np.random.default_rng(5).integers(0, 256, (size[0] // 6 + 1, size[1] // 6 + 1, 3))
    return np.kron(coarse, np.ones((6, 6, 1))).astype("uint8")[: size[0], : size[1]]


@pytest.mark.parametrize("size", [(90, 240), (233, 61), (128, 160), (20, 9)])
def test_detectors_agree(detectors, size):
    live, *others = (find(scene(size)) for find in detectors)
    assert len(live) > 3
    for faces in others:
        assert len(faces) == len(live)
        np.testing.assert_allclose([face.box for face in faces], [face.box for face in live], atol=0.02)
        np.testing.assert_allclose([face.landmarks for face in faces], [face.landmarks for face in live], atol=0.02)


def test_a_detector_merges_its_two_runs(detectors):
    image, find = scene((128, 160)), detectors[0]
    answers = [find.predict({"image": place.apply(image).transpose(2, 0, 1)[None]}) for place in find.predict.test_size.places(128, 160)]
    fine, coarse = (np.concatenate([run["boxes"], run["scores"][:, None]], axis=1).astype("float64") for run in answers)
    coarse[:, :4] *= 2
    expected = reference(fine, coarse, 70)
    assert len(expected) < len(fine) + len(coarse)
    found = find(image)
    np.testing.assert_allclose([face.score for face in found], expected[:, 4])
    np.testing.assert_allclose([face.box for face in found], np.clip(expected[:, :4], 0, [160, 128, 160, 128]), atol=1e-3)


def test_evaluators_see_what_predictions_see(detectors):
    sizes = [(128, 160), (90, 240), (128, 160)]
    pictures = [Picture.of(scene(size)) for size in sizes]
    for found, size in zip(detect(detectors[0].predict, lambda i: pictures[i], 3, batch_size=2, landmarks=True), sizes, strict=True):
        faces = detectors[0](scene(size))
        assert len(faces) == len(found)
        np.testing.assert_allclose(found[:, :4], [face.box for face in faces], atol=1e-2)
        np.testing.assert_allclose(found[:, 5:], [face.landmarks.ravel() for face in faces], atol=1e-2)
