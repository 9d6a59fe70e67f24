"""The detector in ppface/weights: found by its name everywhere, and as good as its README says."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ppface import predict
from ppface.core.config.spec import load_config
from ppface.core.files.released import FOLDER, located
from ppface.data import Subset, SyntheticFaces, VocFaces
from ppface.data.pictures.picture import Picture
from ppface.engine.export import questions
from ppface.evaluators import FaceAP
from ppface.ops.boxes import iou
from ppface.ops.resize import TestSize
from ppface.predict.export_formats import faces

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "detection" / "builtin.yml"


@pytest.fixture(scope="module")
def live():
    return predict.open_model("builtin")


def test_its_files(live):
    folder = FOLDER / "builtin"
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.yml", "weights.safetensors"]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    (digest,) = re.findall(r"[0-9a-f]{64}", (folder / "README.md").read_text())
    assert hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() == digest
    assert live.config["model"].plain() == load_config(CONFIG)["model"].plain()


def test_the_name_wins_over_a_folder_of_this_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builtin").mkdir()
    assert located("builtin") == FOLDER / "builtin"
    assert located("./builtin") == Path("builtin")


def test_it_finds_drawn_faces(live):
    metrics = FaceAP(SyntheticFaces(16, (300, 400), seed=5, faces=(1, 5), face_size=(0.1, 0.4), difficulty=0.3))(live.model.predictor())
    assert dict(metrics)["ap"] > 0.9


def test_it_finds_faces_on_the_pictures_by_which_exports_are_compared(live):
    *drawn, noise = questions(live.model, (1, 3), faces)
    assert [batch["image"].shape for batch in drawn] == [(1, 3, 320, 320), (1, 3, 353, 255), (3, 3, 320, 320)]
    assert len({image.tobytes() for batch in drawn for image in batch["image"]}) == 5
    find = live.model.predictor()
    assert all((find(batch)["scores"] > 0.5).sum() >= len(batch["image"]) for batch in drawn[:2])
    assert noise["image"].shape == (1, 3, 320, 320)


def test_it_finds_faces_of_photographs_that_it_was_not_trained_on(live, shared_data):
    held_out = Subset(VocFaces(str(shared_data / "facemask")), start=-113, stop=-83)
    metrics = FaceAP(held_out, min_size=16)(live.model.predictor())
    assert dict(metrics)["ap"] > 0.8


def drawn_portrait(seed):
    """A picture, filled by one face, and its box."""
    sample = SyntheticFaces(1, (190, 150), seed=seed, faces=(1, 1), face_size=(0.7, 0.75), difficulty=0)[0]
    return sample["picture"].decode(), sample["gt_boxes"]


def test_it_finds_the_one_face_that_fills_a_picture(live):
    find = predict.FaceDetector(live.model.predictor())
    for seed in range(3):
        image, box = drawn_portrait(seed)
        (face,) = [face for face in find(image) if face.score > 0.5]
        assert iou(np.array([face.box]), box)[0, 0] > 0.7
    find.predict.test_size = TestSize("short_side", (600, 600), 800)  # without the coarser run: parts of the face
    boxes = np.array([face.box for face in find(image) if face.score > 0.5])
    assert len(boxes) > 1
    assert iou(boxes, box).max() < 0.7


def test_it_finds_the_faces_of_portraits(live, shared_data):
    files = [shared_data / "cfp" / "raw" / f"{person:03}" / "frontal" / "01.jpg" for person in range(1, 6)]
    if not files[0].is_file():
        pytest.skip(f"the portraits are not here: {files[0]} does not exist")
    find = predict.FaceDetector(live.model.predictor())
    for file in files:
        height, width = Picture.open(file).size
        best = find(file)[0].box
        assert best[3] - best[1] > 0.5 * height
        assert best[0] < width / 2 < best[2]


def test_tools_take_it_by_name(run_tool, tmp_path):
    picture = SyntheticFaces(1, (200, 200), seed=5, faces=(1, 1), face_size=(0.5, 0.6), difficulty=0)[0]
    Image.fromarray(picture["picture"].decode()).save(tmp_path / "photo.png")
    done = run_tool("tools/infer.py", "builtin", "--input", tmp_path / "photo.png", "--json", tmp_path / "faces.json")
    assert done.returncode == 0, done.stderr
    assert "1 read, 1 faces, 0 broken" in done.stdout
    done = run_tool("tools/export_model.py", "builtin", "--out", tmp_path / "export")
    assert done.returncode == 0, done.stderr
    policy = {"mode": "short_side", "size": [600, 600], "max_side": 800, "coarser": 0.35, "large": 250.0}
    assert yaml.safe_load((tmp_path / "export" / "inference.yml").read_text())["input"]["test"] == policy
    (face,) = [face for face in predict.load(tmp_path / "export")(tmp_path / "photo.png") if face.score > 0.5]
    left, top, right, bottom = picture["gt_boxes"][0]
    assert np.abs(np.array(face.box) - picture["gt_boxes"][0]).max() < 0.15 * (right - left)
    assert (face.landmarks > [left, top]).all() and (face.landmarks < [right, bottom]).all()
