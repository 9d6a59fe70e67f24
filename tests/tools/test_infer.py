"""tools/infer.py: a run, an export, or a config with weights; the same answers as the library."""

import io
import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from ppface import predict
from ppface.core.files.checkpoint_folder import CheckpointFolder

INFER = "tools/infer.py"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.kron(rng.integers(0, 256, (15, 25, 3)), np.ones((8, 8, 1))).astype("uint8")).save(folder / name)
    return folder


def answers(finder, folder, threshold: float) -> list[list[list[float]]]:
    return [[[*face.box, face.score] for face in finder(file) if face.score >= threshold] for file in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("source", ["export", "run", "config"])
def test_it_answers_as_the_library(trial, pictures, run_tool, tmp_path, source):
    out = tmp_path / "out"
    if source == "run":
        model = tmp_path / "run"
        CheckpointFolder(model / "checkpoints").save({"weights.safetensors": load_file(trial.weights)}, {"step": 1}, best=False)
        (model / "config.yml").write_text((trial.export / "config.yml").read_text())
    given = {"export": [trial.export], "run": [tmp_path / "run"], "config": ["-c", trial.config, "-w", trial.weights]}[source]
    done = run_tool(INFER, *given, "--input", pictures, "--output", out, "--threshold", 0.4, "--json", tmp_path / "sub" / "faces.json")
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "sub" / "faces.json").read_text())
    assert [record["image"] for record in records] == ["a.png", "b.png"]
    for record, want in zip(records, answers(predict.load(trial.export), pictures, 0.4), strict=True):
        assert len(want) > 0
        np.testing.assert_allclose([[*face["box"], face["score"]] for face in record["faces"]], want, atol=0.02)
    assert sorted(file.name for file in out.iterdir()) == ["a.png", "b.png"]
    assert [line.split()[0] for line in done.stdout.splitlines()[-5:]] == ["ms", "pre", "run", "post", "total"]


def test_broken_pictures_are_named_and_skipped(trial, pictures, run_tool, tmp_path):
    buffer = io.BytesIO()
    Image.open(pictures / "a.png").save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:-300])
    done = run_tool(INFER, trial.export, "--input", tmp_path)
    assert done.returncode == 3
    assert f"skipped: {tmp_path / 'cut.jpg'}: broken picture: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "0 read, 0 faces, 1 broken\n"


@pytest.mark.parametrize("tool", [INFER, "deploy/python/infer.py"])
def test_a_cut_video_is_an_error_after_its_results_are_written(trial, run_tool, tmp_path, tool):
    clip = tmp_path / "clip.avi"
    noise, writer = np.random.default_rng(0), cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (96, 64))
    for _ in range(40):
        writer.write(noise.integers(0, 256, (64, 96, 3)).astype("uint8"))
    writer.release()
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 5])
    model = [trial.export] if tool == INFER else ["--model", trial.export]
    done = run_tool(tool, *model, "--input", clip, "--output", tmp_path / "out")
    count = len(json.loads((tmp_path / "out" / "faces.json").read_text()))
    assert 8 < count < 24 and done.stdout.startswith(f"{count} read, ")
    told = f"the video ends after {count} of the 40 frames that its header states: it is truncated or damaged; the results of these {count} frames are kept"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (3, f"error: {clip}: {told}")
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert sum(capture.read()[0] for _ in range(40)) == count


@pytest.mark.parametrize("tool", [INFER, "deploy/python/infer.py"])
def test_names_in_any_encoding_and_locale(toy_export, foreign_names, run_tool, tmp_path, tool, locale):
    model = [toy_export] if tool == INFER else ["--model", toy_export]
    (foreign_names / "notes.txt").write_text("")
    done = run_tool(tool, *model, "--input", foreign_names, "--output", tmp_path / foreign_names.name / "out", **locale)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    left_out, *skipped = done.stderr.splitlines()
    assert left_out == f"{foreign_names}: left out: 1 .txt"
    assert len(skipped) == 1 and skipped[0].startswith(f"skipped: {foreign_names}/\\udcc4\\udce3 ")
    records = json.loads((foreign_names / "out" / "faces.json").read_text())
    names = [file.relative_to(foreign_names) for file in foreign_names.rglob("*.png") if file.name != "7.png"]
    assert sorted(os.fsencode(record["image"]) for record in records) == sorted(map(os.fsencode, names))


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (
            ["EXPORT", "-i", "FOLDER/x.jpg"],
            3,
            "error: FOLDER/x.jpg: no such input; expected a picture, a folder, a video or the number of a camera",
        ),
        (["FOLDER", "-i", "x.jpg"], 4, "error: FOLDER: expected the folder of a run (config.yml) or of an export (inference.yml)"),
        (["EXPORT", "-i", "x.jpg", "--threshold", "nan"], 2, "infer.py: error: argument --threshold: invalid number value: 'nan'"),
        (["-i", "x.jpg"], 2, "infer.py: error: expected the folder of a run or an export, or -c CONFIG --weights FILE"),
    ],
)
def test_mistakes_are_one_line(trial, run_tool, tmp_path, given, code, told):
    def place(text: str) -> str:
        return text.replace("EXPORT", str(trial.export)).replace("FOLDER", str(tmp_path))

    done = run_tool(INFER, *map(place, given))
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == place(told)
    assert "Traceback" not in done.stderr
