"""tools/infer.py: a run, an export, or a config with weights; the same answers as the library."""

import io
import json

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
