"""Embedding models without ppface: the same numbers as ppface gives, two pictures compared, and the one line of each mistake."""

import json
from functools import partial

import numpy as np
import pytest
from comparison import compare
from detector import ModelError
from embedder import FaceEmbedder, open_export
from media import Frame, MediaError
from session import _record

from ppface import predict
from ppface.data.pictures.picture import Picture
from ppface.ops.embedding import similarity

INFER = "deploy/python/infer.py"


@pytest.mark.parametrize("tool", [INFER, "tools/infer.py"])
def test_a_folder_of_aligned_faces(toy_export, aligned_faces, run_tool, run_deployed, tmp_path, tool):
    files = sorted(aligned_faces.rglob("*.png"))
    (aligned_faces / "wide.png").write_bytes(files[0].read_bytes())
    import cv2

    cv2.imwrite(str(aligned_faces / "wide.png"), np.zeros((16, 30, 3), "uint8"))
    out = tmp_path / "out"
    run = partial(run_deployed, "-m", toy_export) if tool == INFER else partial(run_tool, tool, toy_export)
    done = run("--input", aligned_faces, "--output", out)
    assert done.returncode == 3, done.stderr
    told = "expected an aligned face of 16x16 pixels, received 30x16: align it with ppface align, or enable `resize`"
    assert [line for line in done.stderr.splitlines() if line.startswith("skipped")] == [f"skipped: wide.png: {told}"]
    assert [file.name for file in out.iterdir()] == ["faces.json"]
    records = json.loads((out / "faces.json").read_text())
    assert [record["image"] for record in records] == [str(file.relative_to(aligned_faces)) for file in files]
    embed = predict.load(toy_export, threads=1)
    for record, file in zip(records, files, strict=True):
        (face,) = record["faces"]
        assert (record["size"], face["box"], face["score"]) == ([16, 16], [0, 0, 16, 16], 1)
        np.testing.assert_allclose(face["embedding"], embed(file)[0].embedding, atol=1e-4)
    assert "10 read, 10 faces, 1 broken" in done.stdout


@pytest.mark.parametrize("tool", [INFER, "tools/infer.py"])
def test_two_pictures_are_compared(toy_export, aligned_faces, run_tool, run_deployed, tmp_path, tool):
    one, two = aligned_faces / "person 0" / "0.png", aligned_faces / "person 1" / "5.png"
    embed = predict.load(toy_export, threads=1)
    want = similarity(embed(one)[0].embedding, embed(two)[0].embedding)
    run = partial(run_deployed, "-m", toy_export) if tool == INFER else partial(run_tool, tool, toy_export)
    done = run("--compare", one, two, "--threshold", want - 0.01, "--json", tmp_path / "c.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"similarity {want:.4f} (cosine, -1 to 1)", f"the same person at threshold {want - 0.01:g}"]
    record = json.loads((tmp_path / "c.json").read_text())
    assert record["same"] is True and record["similarity"] == pytest.approx(want, abs=1e-5)


class Options:
    def __init__(self, *compared, threshold=None, json=None):
        self.compare, self.threshold, self.json = [str(path) for path in compared], threshold, json


def test_the_verdict_follows_the_threshold(toy_export, aligned_faces, capsys):
    embed = FaceEmbedder(toy_export, threads=1)
    one = aligned_faces / "person 0" / "0.png"

    def read(path):
        return Picture.open(path).decode()

    for threshold, verdict in ((None, []), (0.9, ["the same person at threshold 0.9"]), (1.0, ["two people at threshold 1"])):
        assert compare(embed, Options(one, one, threshold=threshold), read, MediaError) == 0
        assert capsys.readouterr().out.splitlines() == ["similarity 1.0000 (cosine, -1 to 1)", *verdict]


def test_mirror_images_and_other_sizes(toy_export, rng):
    embed = FaceEmbedder(toy_export, threads=1)
    image = rng.integers(0, 256, (16, 16, 3)).astype("uint8")
    plain, mirrored = embed(image)[0].embedding, embed(image[:, ::-1])[0].embedding
    embed.flip = True
    np.testing.assert_allclose(embed(image)[0].embedding, plain + mirrored, atol=1e-6)
    with pytest.raises(MediaError, match=r"^expected an aligned face of 16x16 pixels, received 20x40: align it"):
        embed(np.zeros((40, 20, 3), "uint8"))
    embed.resize = True
    assert embed(np.zeros((40, 20, 3), "uint8"))[0].box == (0, 0, 20, 40)


def test_variance_and_quality_where_the_model_has_them(toy_export, rng, monkeypatch):
    embed, image = FaceEmbedder(toy_export, threads=1), rng.integers(0, 256, (16, 16, 3)).astype("uint8")
    (face,) = embed(image)
    assert face.variance is None and face.quality is None
    assert "variance" not in _record(Frame("a", lambda: image), image, [face])["faces"][0]

    def run(pixels):
        rows = pixels[:, :, 0, :2].reshape(1, -1).astype("float32")
        return {"embedding": rows, "norm": rows[:, :1], "quality": rows[:, 0], "variance": rows}

    monkeypatch.setattr(embed, "run", run)
    plain, mirrored = (pixels[0, :2].T.reshape(-1).astype("float32") for pixels in (image, image[:, ::-1]))
    for embed.flip, total, mean in ((False, plain, plain), (True, plain + mirrored, (plain + mirrored) / 2)):
        (face,) = embed(image)
        np.testing.assert_array_equal(face.embedding, total)
        np.testing.assert_array_equal(face.variance, mean)
        assert face.quality == mean[0]
        record = _record(Frame("a", lambda: image), image, [face])["faces"][0]
        assert (record["variance"], record["quality"]) == (mean.tolist(), mean[0])


def test_the_outputs_determine_what_a_model_is_for(toy_export, trial):
    assert type(open_export(toy_export, threads=1)).__name__ == "FaceEmbedder"
    assert type(open_export(trial.export, threads=1)).__name__ == "FaceDetector"
    with pytest.raises(ModelError) as error:
        FaceEmbedder(trial.export)
    told = "expected a model with the output 'embedding', this one has boxes, count, landmarks, scores"
    assert str(error.value) == f"{trial.export / 'inference.yml'}: {told}"


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (["DETECTOR", "--compare", "A", "A"], 3, "error: --compare: expected a model with the output 'embedding', this one finds faces"),
        (
            ["DETECTOR", "-i", "A", "--flip"],
            3,
            "error: --flip: expected a model with the output 'embedding', this one finds faces: leave --flip out",
        ),
        (["TOY", "--compare", "A", "gone.jpg"], 3, "error: gone.jpg: cannot read the picture: No such file or directory"),
        (["TOY", "--compare", "A"], 2, "infer.py: error: argument --compare: expected 2 arguments"),
        (["TOY", "--compare", "A", "A", "--threshold", "nan"], 2, "infer.py: error: argument --threshold: invalid number value: 'nan'"),
        (["TOY", "--compare", "A", "A", "--threshold", "inf"], 2, "infer.py: error: argument --threshold: invalid number value: 'inf'"),
        (["TOY"], 2, "infer.py: error: one of the arguments -i/--input/--video --compare is required"),
    ],
)
def test_mistakes_are_one_line(toy_export, trial, aligned_faces, run_deployed, given, code, told):
    places = {"TOY": toy_export, "DETECTOR": trial.export, "A": aligned_faces / "person 0" / "0.png"}
    done = run_deployed("-m", *[places.get(word, word) for word in given])
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == told
    assert "Traceback" not in done.stderr


def test_a_picture_of_another_size_is_named_in_a_comparison(toy_export, aligned_faces, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "big.png"), np.zeros((20, 20, 3), "uint8"))
    with pytest.raises(MediaError) as error:
        compare(
            FaceEmbedder(toy_export, threads=1),
            Options(aligned_faces / "person 0" / "0.png", tmp_path / "big.png"),
            lambda path: Picture.open(path).decode(),
            MediaError,
        )
    told = "expected an aligned face of 16x16 pixels, received 20x20: align it with ppface align, or enable `resize`"
    assert str(error.value) == f"{tmp_path / 'big.png'}: {told}"
