"""`zoo:NAME` as a model and as weights: the public files, their configs and their names."""

import numpy as np
import pytest

from ppface import predict
from ppface.core.errors import WeightsError
from ppface.core.files import zoo
from ppface.predict.live_model import load_start, open_model


@pytest.fixture
def kept(shared_data, tmp_path, monkeypatch):
    """Puts the public weight files where a download would keep them."""
    monkeypatch.setenv("PPFACE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, file in (("mobilefacenet_arcface", "mobilefacenet_arcface.pth"), ("retinaface_mobilenet025", "retinaface_mobilenet025.pth")):
        path = zoo.find(f"zoo:{name}").path
        path.parent.mkdir(parents=True)
        path.symlink_to(shared_data / "weights" / file)
    return shared_data


def test_an_entry_is_its_config_with_its_weights_and_names(kept, rng):
    config, names = "recognition/adaface_mobilefacenet_cfp", "arcface_mobilefacenet_pytorch"
    file = kept / "weights" / "mobilefacenet_arcface.pth"
    image = rng.integers(0, 256, (112, 112, 3)).astype("uint8")
    expected = predict.load(config, file, names=names)(image)[0].embedding
    for model in (predict.load("zoo:mobilefacenet_arcface"), predict.load(config, "zoo:mobilefacenet_arcface")):
        np.testing.assert_array_equal(model(image)[0].embedding, expected)
    assert expected.shape == (128,)


def test_identities_of_an_entry_and_of_its_parts_are_equal(kept):
    ways = [open_model("zoo:mobilefacenet_arcface"), open_model("adaface_mobilefacenet_cfp", "zoo:mobilefacenet_arcface")]
    assert len({way.identity() for way in ways}) == 1
    assert ways[0].names.name == "arcface_mobilefacenet_pytorch.yaml"


def test_a_training_starts_from_an_entry(kept):
    live = open_model("zoo:mobilefacenet_arcface")
    live.config.replace("--weights", weight_names=None)
    file, digest = load_start(live.model, live.config)
    assert (file, digest) == (str(zoo.find("zoo:mobilefacenet_arcface").path), zoo.find("zoo:mobilefacenet_arcface").sha256)


def test_a_detector_of_the_zoo_finds_faces(kept):
    found = predict.load("zoo:retinaface_mobilenet025")(sorted((kept / "facemask" / "images").iterdir())[0])
    assert found[0].score > 0.9
    assert found[0].landmarks.shape == (5, 2)


def test_a_changed_file_is_never_read(kept):
    path = zoo.find("zoo:mobilefacenet_arcface").path
    path.unlink()
    path.write_bytes(b"other")
    with pytest.raises(
        WeightsError, match=r"^zoo:mobilefacenet_arcface: \S+arcface_mobilefacenet.pth: expected content with the SHA-256 4c08e1"
    ):
        predict.load("zoo:mobilefacenet_arcface")
