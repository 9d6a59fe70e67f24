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


def test_a_gallery_of_photographs_names_faces(run_tool, toy_export, tmp_path):
    faces = SyntheticFaces(2, (240, 320), seed=5, faces=(1, 1), face_size=(0.3, 0.4), difficulty=0)
    noise = np.kron(np.random.default_rng(0).integers(-20, 21, (48, 64, 3)), np.ones((5, 5, 1)))
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for i, name in enumerate(("Ann", "Bob")):
        pixels = (faces[i]["picture"].decode() + noise).clip(0, 255).astype("uint8")
        Image.fromarray(pixels).save(photographs / f"{name}_1.png")
    Image.fromarray(np.full((240, 320, 3), 90, np.uint8)).save(photographs / "Cy_empty.png")
    gallery, model = tmp_path / "people.db", ["--model", toy_export, "--detector", "builtin"]
    tool = ["tools/gallery.py", "add", gallery, *model, "--input", photographs, "--unencrypted", "--keep-crops"]
    added = run_tool(*tool)
    assert (added.returncode, added.stdout) == (3, "2 images of 2 people enrolled, 1 left out\n")
    assert "left out: Cy_empty.png: expected one face, found none" in added.stderr
    found = run_tool("tools/gallery.py", "search", gallery, *model, "--input", photographs / "Bob_1.png", "--threshold", 0.99)
    assert found.stdout.startswith("Bob_1.png at [") and found.stdout.endswith("]: Bob 1.000\n")
    options = ["builtin", "--embedder", toy_export, "--gallery", gallery, "--input", photographs / "Bob_1.png"]
    done = run_tool(INFER, *options)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        3, f"error: {gallery}: expected a threshold for by='image': pass one, or use `gallery calibrate` (for 'image')"
    )  # fmt: skip
    done = run_tool("tools/gallery.py", "search", gallery, "--model", toy_export, "--align", "eyes", "--input", photographs)
    assert done.stderr == "error: --align: it needs a detector: give one by --detector, such as builtin\n"
    done = run_tool("tools/gallery.py", "search", gallery, *model, "--align", "eyes", "--input", photographs, "--threshold", 0.5)
    assert "expected its model: alignment five_points at 16x16, received eyes at 16x16" in done.stderr
