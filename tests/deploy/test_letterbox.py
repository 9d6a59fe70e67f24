"""Pictures with grey borders: the live, the exported and the deployed model see the same pixels and answer in those of the picture."""

import shutil

import detector as deployed
import numpy as np
import pytest
import yaml
from embedder import FaceEmbedder

from ppface import predict
from ppface.engine import export
from ppface.evaluators.detect import detect
from ppface.ops.embedding import embed
from ppface.ops.resize import TestSize, letterboxed

SIZES = [(90, 240), (233, 61), (128, 160), (256, 320), (20, 9)]


def scene(size, seed=5):
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 6 + 1, size[1] // 6 + 1, 3))
    return np.kron(coarse, np.ones((6, 6, 1))).astype("uint8")[: size[0], : size[1]]


@pytest.fixture(scope="module")
def detectors(trial, tmp_path_factory):
    """The same detector live, exported and deployed."""
    policy = {"mode": "letterbox", "size": [128, 160], "max_side": 0}
    folder = tmp_path_factory.mktemp("letterbox") / "export"
    shutil.copytree(trial.export, folder)
    about = yaml.safe_load((folder / "inference.yml").read_text())
    about["input"]["test"] = policy
    (folder / "inference.yml").write_text(yaml.safe_dump(about))
    live = predict.load_predictor(trial.config, trial.weights, overrides=[f"model.input.test={policy}"])
    return predict.FaceDetector(live), predict.load(folder, threads=1), deployed.FaceDetector(folder, threads=1)


@pytest.mark.parametrize("size", SIZES)
def test_detectors_agree(detectors, size):
    image = scene(size)
    live, *others = (find(image) for find in detectors)
    assert len(live) > 3
    place = letterboxed(size, (128, 160))
    raw = detectors[0].predict({"image": place.apply(image).transpose(2, 0, 1)[None]})
    (top, left), (height, width) = place.corner, place.inner
    for box, score, points in zip(raw["boxes"], raw["scores"], raw["landmarks"], strict=True):
        x1, y1, x2, y2 = box
        x1, x2 = (min(max((x - left) * size[1] / width, 0), size[1]) for x in (x1, x2))
        y1, y2 = (min(max((y - top) * size[0] / height, 0), size[0]) for y in (y1, y2))
        same = [face for face in live if np.allclose(face.box, (x1, y1, x2, y2), atol=1e-3) and face.score == score]
        assert len(same) == (x2 > x1 and y2 > y1)
        for face in same:
            np.testing.assert_allclose(face.landmarks, (points - [left, top]) * [size[1] / width, size[0] / height], atol=1e-3)
    for faces in others:
        assert len(faces) == len(live)
        np.testing.assert_allclose([face.box for face in faces], [face.box for face in live], atol=0.02)
        np.testing.assert_allclose([face.landmarks for face in faces], [face.landmarks for face in live], atol=0.02)


def test_evaluators_see_what_predictions_see(detectors):
    from ppface.data.pictures.picture import Picture

    pictures = [Picture.of(scene(size)) for size in SIZES]
    rows = detect(detectors[0].predict, lambda i: pictures[i], len(pictures), batch_size=2)
    for size, found in zip(SIZES, rows, strict=True):
        faces = detectors[0](scene(size))
        assert len(faces) == len(found)
        order = np.argsort(-found[:, 4], kind="stable")
        np.testing.assert_allclose(found[order, :4], [face.box for face in faces], atol=1e-2)


def test_embedders_agree(toy_embedder, tmp_path, monkeypatch):
    monkeypatch.setattr(toy_embedder.input, "test", TestSize("letterbox", (16, 16)))
    export.write(toy_embedder, tmp_path, {})
    assert yaml.safe_load((tmp_path / "inference.yml").read_text())["input"]["test"] == {
        "mode": "letterbox",
        "size": [16, 16],
        "max_side": 0,
    }
    finders = [predict.FaceEmbedder(toy_embedder.predictor()), predict.load(tmp_path, threads=1), FaceEmbedder(tmp_path, threads=1)]
    for size in [(30, 12), (16, 16), (32, 32), (9, 40)]:
        image = scene(size)
        expected = embed(toy_embedder.predictor(), [letterboxed(size, (16, 16)).apply(image)])[0]
        for find in finders:
            (face,) = find(image)
            assert face.box == (0, 0, size[1], size[0])
            np.testing.assert_allclose(face.embedding, expected, atol=1e-5)


def test_a_mode_that_is_not_known_is_never_run(toy_export, tmp_path):
    shutil.copytree(toy_export, tmp_path / "export")
    file = tmp_path / "export" / "inference.yml"
    file.write_text(file.read_text().replace("mode: stretch", "mode: tiles"))
    with pytest.raises(deployed.ModelError) as error:
        FaceEmbedder(file.parent)
    assert str(error.value) == (
        f"{file}: expected input.test.mode to be one of native, stretch, letterbox, long_side, short_side, received 'tiles': "
        "take deploy/python from the version that exported the model"
    )
    with pytest.raises(predict.WeightsError) as error:
        predict.load(file.parent)
    assert "(TestSize: expected mode to be one of native, stretch, letterbox, long_side, short_side, received 'tiles')" in str(error.value)
