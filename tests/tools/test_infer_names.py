"""tools/infer.py with a recognition model: names in pictures, tracks in a video, and options that do not fit together."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from ppface.data import SyntheticFaces

INFER = "tools/infer.py"


@pytest.fixture(scope="module")
def drawn():
    """Two pictures with a drawn face each, which the built-in detector finds; with noise, as they are smooth."""
    faces = SyntheticFaces(2, (160, 200), seed=5, faces=(1, 1), face_size=(0.5, 0.6), difficulty=0)
    noise = np.kron(np.random.default_rng(0).integers(-20, 21, (32, 40, 3)), np.ones((5, 5, 1)))
    return [(faces[i]["picture"].decode() + noise).clip(0, 255).astype("uint8") for i in range(2)]


@pytest.fixture
def people(drawn, tmp_path):
    folder = tmp_path / "people"
    for name, picture in zip(("Ann", "Bob"), drawn, strict=True):
        (folder / name).mkdir(parents=True)
        Image.fromarray(picture).save(folder / name / "1.png")
    return folder


def test_people_are_named_in_pictures_and_in_a_video(drawn, people, toy_export, run_tool, tmp_path):
    options = [
        "builtin",
        "-o",
        "model.input.test={mode: long_side, size: [320, 320]}",
        "--embedder",
        toy_export,
        "--people",
        people,
        "--same",
        0.9999,
    ]
    done = run_tool(INFER, *options, "--input", people, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = [record["faces"][0] for record in json.loads((tmp_path / "out" / "faces.json").read_text())]
    assert [face["name"] for face in found] == ["Ann", "Bob"] and min(face["similarity"] for face in found) > 0.9999
    assert "track" not in found[0] and len(found[0]["embedding"]) == 6 and len(found[0]["landmarks"]) == 5

    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (200, 160))
    for number in range(4):
        writer.write(np.roll(drawn[0], 2 * number, axis=1)[:, :, ::-1])
    writer.release()
    options[-1] = 0.9
    done = run_tool(INFER, *options, "--video", clip, "--output", tmp_path / "video")
    assert done.returncode == 0, done.stderr
    faces = [face for record in json.loads((tmp_path / "video" / "faces.json").read_text()) for face in record["faces"]]
    assert len(faces) == 4 and {face["track"] for face in faces} == {1}
    assert done.stdout.splitlines()[-1].startswith("track 1: ") and done.stdout.splitlines()[-1].endswith(", frames 0 to 3, seen in 4")
    assert (tmp_path / "video" / "clip.mp4").stat().st_size > 0


def test_options_without_an_embedder_are_refused(run_tool, tmp_path):
    done = run_tool(INFER, "builtin", "--input", tmp_path, "--people", tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "error: --people: it needs a recognition model: give one by --embedder")
