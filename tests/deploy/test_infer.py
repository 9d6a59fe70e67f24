"""deploy/python run as a user runs it, where ppface cannot be imported: it must answer as ppface does."""

import argparse
import ast
import io
import json
import shutil
import struct
import sys
from pathlib import Path

import cv2
import infer
import numpy as np
import pytest
import yaml
from detector import ExportedModel, FaceDetector
from embedder import FaceEmbedder
from PIL import Image
from runtimes import ModelError
from session import add_options, table

from ppface import predict
from ppface.ops.resize import TestSize

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "python"


def scene(seed: int, height: int = 120, width: int = 200) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype("uint8")


def boxes(faces: list) -> np.ndarray:
    return np.array([[*face["box"], face["score"]] for face in faces]).reshape(-1, 5)


def check_answers(records: list, finder, pictures: list[np.ndarray], threshold: float) -> None:
    """What was written to JSON is what ppface finds in the same pixels."""
    for record, image in zip(records, pictures, strict=True):
        want = [face for face in finder(image) if face.score >= threshold]
        assert record["size"] == list(image.shape[:2])
        assert len(want) > 0
        np.testing.assert_allclose(boxes(record["faces"]), [[*face.box, face.score] for face in want], atol=0.02)
        np.testing.assert_allclose([face["landmarks"] for face in record["faces"]], [face.landmarks for face in want], atol=0.02)


def test_imports_are_few():
    allowed = {"cv2", "numpy", "yaml", "paddle", "onnxruntime", "openvino", "PIL", *sys.stdlib_module_names}
    allowed |= {file.stem for file in DEPLOY.glob("*.py")}
    for file in DEPLOY.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, f"{file.name} imports {names}"


def test_a_folder_with_broken_pictures(trial, run_deployed, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.fromarray(scene(0)).save(source / "a.png")
    Image.fromarray(scene(1, 160, 96)).save(source / "b.png")
    buffer = io.BytesIO()
    Image.fromarray(scene(2)).save(buffer, "JPEG")
    (source / "cut.jpg").write_bytes(buffer.getvalue()[:-400])
    sizes = struct.pack(">HH", 120, 200), struct.pack(">HH", 9_000, 12_000)
    (source / "huge.jpg").write_bytes(buffer.getvalue().replace(*sizes))
    (source / "words.jpg").write_text("words")
    done = run_deployed("-m", trial.export, "-i", source, "--output", out, "--threshold", 0.4, "--repeat", 3)
    assert done.returncode == 3, done.stderr
    skipped = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert skipped == [
        f"skipped: {source / 'cut.jpg'}: broken picture: it is truncated",
        f"skipped: {source / 'huge.jpg'}: 12000x9000 pixels (108 megapixels) take 346 MB to decode, the limit is 300 MB: if it is meant "
        "to be this large, set the environment variable PPFACE_PICTURE_MB=346; otherwise it is damaged or a decompression bomb",
        f"skipped: {source / 'words.jpg'}: not a picture, or a damaged header; expected one of JPEG, PNG, BMP, GIF, PPM, TIFF, WEBP",
    ]
    assert "Traceback" not in done.stderr
    records = json.loads((out / "faces.json").read_text())
    assert [record["image"] for record in records] == ["a.png", "b.png"]
    check_answers(records, predict.load(trial.export), [scene(0), scene(1, 160, 96)], 0.4)
    assert sorted(file.name for file in out.iterdir()) == ["a.png", "b.png", "faces.json"]
    assert (cv2.imread(str(out / "a.png"))[..., ::-1] != scene(0)).any()
    counts = [len(record["faces"]) for record in records]
    lines = done.stdout.splitlines()
    assert lines[2] == f"2 read, {sum(counts)} faces, 3 broken"
    assert [line.split()[0] for line in lines[3:]] == ["ms", "pre", "run", "post", "total"]


def test_paths_may_begin_with_the_home_folder(trial, run_deployed, tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    done = run_deployed("-m", trial.export, "--input=~/a.png", "--json=~/faces.json", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "faces.json").is_file()


def test_a_video(trial, run_deployed, tmp_path):
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (200, 120))
    for seed in range(3):
        writer.write(scene(seed))
    writer.release()
    out = tmp_path / "out"
    done = run_deployed("-m", trial.export, "-i", clip, "--output", out, "--threshold", 0.4, "--frames", 2)
    assert (done.returncode, done.stderr) == (0, "")
    records = json.loads((out / "faces.json").read_text())
    assert [(record["image"], record["frame"]) for record in records] == [(str(clip), 0), (str(clip), 1)]
    capture = cv2.VideoCapture(str(clip))
    pictures = [cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in range(2)]
    check_answers(records, predict.load(trial.export), pictures, 0.4)
    drawn = cv2.VideoCapture(str(out / "clip.mp4"))
    assert [drawn.read()[0] for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("model", "source", "code", "told"),
    [
        ("nowhere", "x.jpg", 4, "{model}: no such folder; expected one that ppface export wrote"),
        (".", "x.jpg", 4, "{model}: expected an exported model, inference.yml is missing"),
        (None, "x.jpg", 3, "{source}: no such input; expected a picture, a folder, a video or the number of a camera"),
    ],
)
def test_mistakes_are_one_line(trial, run_deployed, tmp_path, model, source, code, told):
    model, source = (tmp_path / model) if model else trial.export, tmp_path / source
    done = run_deployed("-m", model, "-i", source, "--output", tmp_path / "out")
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == "error: " + told.format(model=model, source=source)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_reader_that_closes_the_pipe_ends_it_without_a_traceback(tmp_path, monkeypatch):
    def closed(find, options):
        raise BrokenPipeError

    monkeypatch.setattr(infer, "open_export", lambda *arguments: None)
    monkeypatch.setattr(infer, "process", closed)
    monkeypatch.setattr(sys, "argv", ["infer.py", "-m", "x", "-i", "y"])
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert infer.main() == 141
        print("more", flush=True)  # what Python does at exit
    assert (tmp_path / "out").read_text() == ""


@pytest.mark.parametrize("option", ["--threads", "--frames", "--repeat"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_counts_are_whole_numbers_from_one_on(option, value, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["-i", "x.jpg", option, value])
    assert caught.value.code == 2
    assert f"argument {option}: expected a whole number from 1 on, received {value!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "format: 2\ninput: {name: image, test: {}}\noutputs: [boxes, scores]\n",
        "format: 1\n",
        "{",
        "format: 1\ninput: {name: image, test: {}}\noutputs: boxes\n",
        "format: 1\ninput: {name: image, test: {}}\noutputs: [boxes, scores]\n",
    ],
)
def test_a_strange_description_is_reported(tmp_path, text):
    for name in ("model.json", "model.pdiparams"):
        (tmp_path / name).write_text("")
    (tmp_path / "inference.yml").write_text(text)
    with pytest.raises(
        ModelError, match=r"inference.yml: expected the description of an exported model in format 1: export the model again"
    ):
        FaceDetector(tmp_path)


def test_a_model_of_another_kind_is_reported(toy_export):
    with pytest.raises(ModelError) as error:
        FaceDetector(toy_export)
    assert str(error.value) == f"{toy_export / 'inference.yml'}: expected a model with the output 'boxes', this one has embedding, norm"


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((64, 64, 3), "float32"), ((64, 64, 4), "uint8"), ((64, 64), "uint8"), ((0, 64, 3), "uint8"), ((64, 64, 3), "int64")],
)
def test_pixels_of_another_shape_or_type_are_refused(trial, toy_export, shape, kind):
    for model in (FaceDetector(trial.export, threads=1), FaceEmbedder(toy_export, threads=1)):
        with pytest.raises(ValueError, match=r"^expected pixels \(H, W, 3\) of uint8 in 0..255, RGB, received shape .* of " + kind):
            model(np.zeros(shape, kind))


@pytest.mark.parametrize(
    ("image", "received"),
    [(None, "NoneType: cv2.imread returns None for a file that is missing or no picture"), ([[[0, 0, 0]]], "list"), ("a.jpg", "str")],
)
def test_what_is_no_array_is_refused(trial, toy_export, image, received):
    for model in (FaceDetector(trial.export, threads=1), FaceEmbedder(toy_export, threads=1)):
        with pytest.raises(ValueError) as error:
            model(image)
        assert str(error.value) == f"expected pixels (H, W, 3), a NumPy array, received {received}"


@pytest.mark.parametrize("name", ["model.json", "model.pdiparams"])
def test_a_file_that_was_cut_or_changed_is_never_run(toy_export, tmp_path, name):
    folder = tmp_path / "export"
    shutil.copytree(toy_export, folder)
    data = (folder / name).read_bytes()
    for harm in (data[:-1], data[:9] + bytes([data[9] ^ 1]) + data[10:], b""):
        (folder / name).write_bytes(harm)
        with pytest.raises(ModelError) as error:
            ExportedModel(folder)
        assert (
            str(error.value)
            == f"{folder / name}: not the file that inference.yml describes: truncated or replaced; export or copy both again"
        )


@pytest.mark.parametrize(
    "policy",
    [("native", None, 0), ("native", None, 300), ("stretch", (96, 128), 0), ("long_side", (160, 160), 0), ("short_side", (160, 160), 200)],
)
@pytest.mark.parametrize("size", [(120, 200), (333, 97), (2000, 3)])
def test_sizes_follow_the_policy_of_training(policy, size):
    mode, side, longest = policy
    detector = FaceDetector.__new__(FaceDetector)
    detector.about = yaml.safe_load(yaml.safe_dump({"input": {"test": {"mode": mode, "size": side and list(side), "max_side": longest}}}))
    assert detector.test_size(*size) == TestSize(mode, side, longest).of(*size)


def test_the_table_of_latencies():
    clock = [[i / 1000, 2 * i / 1000, 0.0] for i in range(1, 101)]
    lines = [line.split() for line in table(clock).splitlines()]
    assert lines == [
        ["ms", "mean", "p50", "p99"],
        ["pre", "50.50", "50.50", "99.01"],
        ["run", "101.00", "101.00", "198.02"],
        ["post", "0.00", "0.00", "0.00"],
        ["total", "151.50", "151.50", "297.03"],
    ]
