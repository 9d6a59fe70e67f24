"""tools/extract.py: rows and lines that belong together, the same after any interruption, and the one line of each mistake."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ppface import predict
from ppface.core.errors import DataError
from ppface.core.files import parts
from ppface.data.pictures.picture import Picture
from ppface.ops.resize import TestSize
from ppface.predict import FaceEmbedder
from ppface.predict import extract as extraction
from ppface.predict.extract import entries, extract

ROOT = Path(__file__).resolve().parents[2]
TOOL = "tools/extract.py"
SMALL = """
model:
  input: {size: [16, 16], mean: [127.5, 127.5, 127.5], std: [127.5, 127.5, 127.5]}
  backbone: {name: MobileFaceNet, embedding_size: 8, input_size: [16, 16]}
  head: {name: AdaMargin, embedding_size: 8, class_num: 3}
"""
REFUSED = (
    "contains partial results of a run with other pictures, another model (config, weights, names) or other options: "
    "repeat that command to resume it, or delete the folder to start over"
)


def small_weights(config: Path, file: Path, prefix: str = "") -> None:
    import paddle
    from safetensors.numpy import save_file

    from ppface.core.config.spec import build_model, load_config

    paddle.seed(0)
    state = build_model(load_config(config)).state_dict()
    save_file({f"{prefix}{name}": value.numpy() for name, value in state.items()}, file)


def wanted(toy_export, files, flip=False) -> np.ndarray:
    embedder = FaceEmbedder(predict.load_predictor(toy_export, threads=1), flip)
    return np.stack([embedder(file)[0].embedding for file in files])


def test_a_folder_with_broken_pictures(toy_export, aligned_faces, run_tool, tmp_path):
    files = sorted(aligned_faces.rglob("*.png"))
    files[3].write_bytes(files[3].read_bytes()[:60])
    files[7].write_text("words")
    out = tmp_path / "e.npy"
    done = run_tool(TOOL, toy_export, "--input", aligned_faces, "--out", out, "--flip", "--batch-size", 4)
    assert done.returncode == 3, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert [line.split(": ")[1] for line in told] == [str(files[3]), str(files[7])]
    assert done.stdout.splitlines() == ["10 of 10", f"8 embeddings in {out}, 2 broken pictures left out"]
    whole = [file for i, file in enumerate(files) if i not in (3, 7)]
    assert (tmp_path / "e.txt").read_text().splitlines() == [str(file.relative_to(aligned_faces)) for file in whole]
    rows = np.load(out, allow_pickle=False)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, wanted(toy_export, whole, flip=True), atol=1e-5)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["e.norm.npy", "e.npy", "e.txt", "faces"]


def test_a_list_keeps_its_lines(toy_export, aligned_faces, run_tool, tmp_path):
    lines = ["person 1/7.png 3", "person 0/0.png\t1", "person 1/5.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n\n")
    done = run_tool(TOOL, toy_export, "-i", tmp_path / "list.txt", "--root", aligned_faces, "--out", tmp_path / "e.npy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "e.txt").read_text().splitlines() == lines
    files = [aligned_faces / name for name in ("person 1/7.png", "person 0/0.png", "person 1/5.png")]
    np.testing.assert_allclose(np.load(tmp_path / "e.npy"), wanted(toy_export, files), atol=1e-5)


@pytest.mark.parametrize("line", ["{},3", "3;{}", "17\t3.000000\t{}", "{}\t3", "person 9/gone.png"])
def test_lists_of_people_as_training_reads_them(aligned_faces, tmp_path, line):
    names = ["person 1/7.png", "person 0/0.png"]
    wanted = [aligned_faces / name for name in names]
    (tmp_path / "list.txt").write_text("\n".join(line.format(name) for name in names))
    found = entries(tmp_path / "list.txt", aligned_faces)
    assert [entry.line for entry in found] == [line.format(name) for name in names]
    assert [entry.file for entry in found] == (wanted if "{}" in line else [aligned_faces / line] * 2)
    (tmp_path / "list.txt").write_text("\n".join(line.format(name).replace("/", "\\") for name in names))
    if "{}" in line:
        assert [entry.file for entry in entries(tmp_path / "list.txt", aligned_faces)] == wanted


def test_names_in_any_encoding_and_locale(toy_export, foreign_names, run_tool, tmp_path, locale):
    done = run_tool(TOOL, toy_export, "-i", foreign_names, "--out", tmp_path / "e.npy", **locale)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.isascii() == (locale != {"PYTHONIOENCODING": "utf-8:strict"})
    assert done.stderr.startswith(f"left out: {foreign_names}/\\udcc4\\udce3 ")
    names = sorted(os.fsencode(file.relative_to(foreign_names)) for file in foreign_names.rglob("*.png") if file.name != "7.png")
    assert sorted((tmp_path / "e.txt").read_bytes().splitlines()) == names
    again = run_tool(TOOL, toy_export, "-i", tmp_path / "e.txt", "--root", foreign_names, "--out", tmp_path / "again.npy", **locale)
    assert (again.returncode, again.stderr) == (0, "")
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "e.txt").read_bytes()
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "e.npy").read_bytes()


def test_a_name_with_a_line_break_is_reported_before_any_work(aligned_faces):
    (aligned_faces / "person 0" / "0.png").rename(aligned_faces / "person 0" / "a\nb.png")
    with pytest.raises(DataError) as error:
        entries(aligned_faces)
    told = "'person 0/a\\nb.png': expected a name without a line break, as the index has a line per picture: rename it"
    assert str(error.value) == f"{aligned_faces}: {told}"


def uncertain(batch: dict) -> dict:
    """A model with all that is written: the norm that it reports is not that of the unit embedding."""
    rows = batch["image"][:, :, ::4, ::4].reshape(len(batch["image"]), -1).astype("float32") + 1
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return {"embedding": rows / norm, "norm": norm, "variance": 1 / rows, "quality": rows[:, 0], "other": rows}


uncertain.test_size = TestSize("stretch", (16, 16))


@pytest.mark.parametrize("flip", [False, True])
def test_norm_variance_and_quality_have_rows_in_files_of_their_own(aligned_faces, tmp_path, monkeypatch, flip):
    monkeypatch.setattr(extraction, "BATCHES_PER_PART", 1)
    pictures, out = entries(aligned_faces), tmp_path / "e.npy"
    for name in ("0.png", "1.png", "3.png"):  # the whole first part, and one of the second
        (aligned_faces / "person 0" / name).write_text("words")
    assert len(extract(FaceEmbedder(uncertain, flip), pictures, out, "model", 2)) == 3
    assert sorted(file.name for file in tmp_path.glob("e.*")) == ["e.norm.npy", "e.npy", "e.quality.npy", "e.txt", "e.variance.npy"]
    files = [aligned_faces / line for line in (tmp_path / "e.txt").read_text().splitlines()]
    pixels = np.stack([Picture.open(file).decode().transpose(2, 0, 1) for file in files])
    plain, mirrored = uncertain({"image": pixels}), uncertain({"image": pixels[..., ::-1]})
    total = plain["embedding"] + mirrored["embedding"] if flip else plain["embedding"]
    np.testing.assert_allclose(np.load(out), total, rtol=1e-6)
    for name in ("norm", "variance", "quality"):
        want = (plain[name] + mirrored[name]) / 2 if flip else plain[name]
        found = np.load(tmp_path / f"e.{name}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, want.reshape(7) if name == "norm" else want, rtol=1e-6)


def test_files_of_a_model_with_variances_are_not_left_beside_others(toy_export, aligned_faces, tmp_path):
    out, pictures = tmp_path / "e.npy", entries(aligned_faces)
    extract(FaceEmbedder(uncertain), pictures, out, "uncertain")
    extract(predict.load(toy_export, threads=1), pictures, out, "toy")
    assert sorted(file.name for file in tmp_path.glob("e.*")) == ["e.norm.npy", "e.npy", "e.txt"]
    np.testing.assert_allclose(np.load(tmp_path / "e.norm.npy"), np.linalg.norm(np.load(out), axis=1), rtol=1e-5)


class StopsError(Exception):
    """Stands for a process that is ended."""


def failing(embedder: FaceEmbedder, after: int) -> FaceEmbedder:
    """The same embedder, which ends the run after so many calls of its model."""
    calls = []

    def predict_(batch):
        calls.append(1)
        if len(calls) > after:
            raise StopsError
        return embedder.predict(batch)

    predict_.test_size = embedder.predict.test_size
    return FaceEmbedder(predict_, embedder.flip, embedder.resize)


def test_an_interrupted_run_goes_on(toy_export, aligned_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "BATCHES_PER_PART", 1)
    embedder = predict.load(toy_export, threads=1)
    pictures = entries(aligned_faces)
    (aligned_faces / "person 0" / "2.png").write_text("words")
    assert len(extract(embedder, pictures, tmp_path / "whole.npy", "model", 2)) == 1
    out, calls = tmp_path / "e.npy", 0
    while not out.exists():
        calls += 1
        try:
            extract(failing(embedder, 1), pictures, out, "model", 2)
        except StopsError:
            assert (tmp_path / "e.parts").is_dir() and not out.exists()
    assert calls == 5  # each call does one part more
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert (tmp_path / "e.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()
    assert not (tmp_path / "e.parts").exists()


def test_partial_results_with_other_inputs_is_refused(toy_export, aligned_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "BATCHES_PER_PART", 1)
    embedder, out = predict.load(toy_export, threads=1), tmp_path / "e.npy"
    pictures = entries(aligned_faces)
    with pytest.raises(StopsError):
        extract(failing(embedder, 1), pictures, out, "model", 2)
    flipping = FaceEmbedder(embedder.predict, flip=True)
    for given in (
        (embedder, pictures[1:], "model", 2),
        (flipping, pictures, "model", 2),
        (embedder, pictures, "other", 2),
        (embedder, pictures, "model", 3),
    ):
        with pytest.raises(DataError) as error:
            extract(given[0], given[1], out, *given[2:])
        assert str(error.value) == f"{tmp_path / 'e.parts'}: {REFUSED}"
    assert extract(embedder, pictures, out, "model", 2) == []


def test_unfinished_work_under_other_names_is_refused(aligned_faces, run_tool, tmp_path):
    config, weights, out = tmp_path / "c.yml", tmp_path / "w.safetensors", tmp_path / "e.npy"
    config.write_text(SMALL)
    small_weights(config, weights, "net.")
    names = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file, pattern in zip(names, ("^net\\.", "^n.t\\."), strict=True):
        file.write_text(f"names: [['{pattern}', '']]\n")
    model, origin = predict.open_predictor(config, weights, names=names[0])
    with pytest.raises(StopsError):
        extract(failing(FaceEmbedder(model), 0), entries(aligned_faces), out, origin.identity())
    for file, code in ((names[1], 3), (names[0], 0)):
        done = run_tool(TOOL, "-c", config, "-w", weights, "--names", file, "-i", aligned_faces, "--out", out)
        assert done.returncode == code, done.stderr
        if code:
            assert done.stderr.splitlines()[-1] == f"error: {tmp_path / 'e.parts'}: {REFUSED}"
    assert np.load(out, allow_pickle=False).shape == (10, 8)


def test_the_input_is_never_written_over(toy_export, aligned_faces, run_tool, tmp_path):
    listed, linked = tmp_path / "list.txt", tmp_path / "link.txt"
    listed.write_text("person 0/0.png 0\n")
    linked.symlink_to(listed)
    folder = aligned_faces.rename(tmp_path / "faces.parts")
    for source, out, ours in ((listed, "list.npy", "list.txt"), (listed, "link.npy", "link.txt"), (folder, "faces.npy", "faces.parts")):
        done = run_tool(TOOL, toy_export, "-i", source, "--root", folder, "--out", tmp_path / out)
        told = f"{source}: --out {out} also writes {ours}, which would overwrite the input; choose another --out"
        assert (done.returncode, done.stderr) == (3, f"error: {told}\n")
    assert listed.read_text() == "person 0/0.png 0\n" and len(list(folder.rglob("*.png"))) == 10
    assert sorted(file.name for file in tmp_path.iterdir()) == ["faces.parts", "link.txt", "list.txt"]


def test_a_folder_of_other_files_is_not_taken_for_unfinished_work(toy_export, aligned_faces, tmp_path):
    (tmp_path / "e.parts").mkdir()
    (tmp_path / "e.parts" / "mine").touch()
    with pytest.raises(DataError) as error:
        extract(predict.load(toy_export, threads=1), entries(aligned_faces), tmp_path / "e.npy", "model")
    told = "partial results would be written here, but the folder exists and is of another origin; choose another --out"
    assert str(error.value) == f"{tmp_path / 'e.parts'}: {told}" and (tmp_path / "e.parts" / "mine").exists()


def test_a_corrected_command_is_not_held_up_by_the_one_that_failed(toy_export, aligned_faces, tmp_path):
    from PIL import Image

    for file in aligned_faces.rglob("*.png"):
        Image.new("RGB", (20, 20)).save(file)
    embedder, out = predict.load(toy_export, threads=1), tmp_path / "e.npy"
    with pytest.raises(DataError, match=r"^none of the 10 pictures can be embedded; the first: .* or enable `resize`$"):
        extract(embedder, entries(aligned_faces), out, "model")
    assert not (tmp_path / "e.parts").exists()
    assert extract(FaceEmbedder(embedder.predict, resize=True), entries(aligned_faces), out, "model") == []


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: data[:80] + b"damage" + data[86:], lambda data: b""])
def test_a_damaged_part_is_made_again(toy_export, aligned_faces, tmp_path, monkeypatch, caplog, damage):
    monkeypatch.setattr(extraction, "BATCHES_PER_PART", 1)
    embedder, out = predict.load(toy_export, threads=1), tmp_path / "e.npy"
    pictures = entries(aligned_faces)
    extract(embedder, pictures, tmp_path / "whole.npy", "model", 4)
    with pytest.raises(StopsError):
        extract(failing(embedder, 2), pictures, out, "model", 4)
    part = tmp_path / "e.parts" / "000000000.npz"
    part.write_bytes(damage(part.read_bytes()))
    with caplog.at_level("WARNING", "ppface"):
        extract(embedder, pictures, out, "model", 4)
    assert len(caplog.messages) == 1 and re.fullmatch(rf"{part}: damaged \(.+\); computing it again", caplog.messages[0])
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_killed_in_the_middle_the_same_command_gives_the_same(toy_export, tmp_path, rng):
    from PIL import Image

    (tmp_path / "faces").mkdir()
    for i in range(400):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype("uint8")).save(tmp_path / "faces" / f"{i:04d}.png")

    def command(out: Path) -> list[str]:
        given = [toy_export, "--input", tmp_path / "faces", "--out", out, "--batch-size", 1]
        return [sys.executable, str(ROOT / TOOL), *map(str, given)]

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run(command(tmp_path / "whole.npy"), env=environment, capture_output=True).returncode == 0
    process = subprocess.Popen(command(tmp_path / "e.npy"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "e.parts").glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "e.npy").exists()
    done = subprocess.run(command(tmp_path / "e.npy"), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "e.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert (tmp_path / "e.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()
    assert not (tmp_path / "e.parts").exists()


def test_a_cut_part_is_never_left_under_its_name(tmp_path):
    def cut(file):
        file.write(b"half")
        raise StopsError

    with pytest.raises(StopsError):
        parts.write_atomically(tmp_path / "part.npz", cut)
    assert not (tmp_path / "part.npz").exists()


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (["TOY", "-i", "EMPTY", "--out", "OUT.npy"], 3, "error: EMPTY: expected at least one picture, found none"),
        (
            ["TOY", "-i", "EMPTY/gone", "--out", "OUT.npy"],
            3,
            "error: EMPTY/gone: expected a folder of pictures or a text file that lists them ([Errno 2] No such file or directory: 'EMPTY/gone')",
        ),
        (["TOY", "-i", "WORDS", "--out", "OUT.npy"], 3, "error: none of the 1 pictures can be embedded; the first: EMPTY/x.jpg: no such picture file"),
        (["DETECTOR", "-i", "FACES", "--out", "OUT.npy"], 3, "error: expected a model with the output 'embedding', received one with boxes, count, landmarks, scores"),
        (["TOY", "-i", "FACES", "--out", "/dev/null/x.npy"], 3, "error: /dev/null/x.parts: cannot write there: Not a directory"),
        (["EMPTY", "-i", "FACES", "--out", "OUT.npy"], 4, "error: EMPTY: expected the folder of a run (config.yml) or of an export (inference.yml)"),
        (["TOY", "-i", "FACES", "--out", "OUT"], 2, "extract.py: error: expected --out FILE.npy and a --batch-size of at least 1"),
        (["-i", "FACES", "--out", "OUT.npy"], 2, "extract.py: error: expected the folder of a run or an export, or -c CONFIG --weights FILE"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(toy_export, trial, aligned_faces, run_tool, tmp_path, given, code, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "list.txt").write_text("x.jpg\n")
    places = {"TOY": toy_export, "DETECTOR": trial.export, "WORDS": tmp_path / "empty" / "list.txt", "EMPTY": tmp_path / "empty"}
    places |= {"FACES": aligned_faces, "OUT": tmp_path / "out"}

    def place(text: str) -> str:
        for word, path in places.items():
            text = text.replace(word, str(path))
        return text

    done = run_tool(TOOL, *map(place, given), "--resize")
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == place(told)
    assert "Traceback" not in done.stderr


def test_a_config_with_weights_gives_what_its_export_gives(run_tool, aligned_faces, tmp_path):
    config, weights = tmp_path / "c.yml", tmp_path / "w.safetensors"
    config.write_text(SMALL)
    small_weights(config, weights)
    done = run_tool("tools/export_model.py", "-c", config, "-w", weights, "--out", tmp_path / "export")
    assert done.returncode == 0, done.stderr
    for given, out in ((["-c", config, "-w", weights], "live.npy"), ([tmp_path / "export"], "exported.npy")):
        done = run_tool(TOOL, *given, "-i", aligned_faces, "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
    live, exported = np.load(tmp_path / "live.npy"), np.load(tmp_path / "exported.npy")
    assert live.shape == (10, 8)
    np.testing.assert_allclose(exported, live, rtol=1e-3, atol=1e-3)
