"""tools/gallery.py: from pictures to names and back to nothing, in the files and words a user meets."""

import json
from pathlib import Path

import numpy as np
import pytest

from ppface.commands.gallery import _only_face
from ppface.core.errors import DataError, SaveError
from ppface.gallery import Gallery, ModelIdentity, new_key, read_key

TOOL = "tools/gallery.py"


@pytest.fixture
def run(run_tool, toy_export, aligned_faces, tmp_path):
    """run(action, ..., code=0) -> what it printed; the gallery, its key and the model are given."""
    path, key = tmp_path / "people.db", tmp_path / "gallery.key"
    assert run_tool(TOOL, "new-key", key).returncode == 0

    def call(action, *arguments, code=0, model=False):
        given = ["--model", toy_export] if model else []
        done = run_tool(TOOL, action, path, *arguments, "--key", key, *given)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr if code else done.stdout

    return call


def test_people_are_enrolled_named_calibrated_and_forgotten(run, aligned_faces, tmp_path):
    (aligned_faces / "person 1" / "broken.png").write_text("words")
    (aligned_faces / "nobody.png").write_bytes((aligned_faces / "person 0" / "0.png").read_bytes())
    (aligned_faces / "Zoe_holiday.png").write_bytes((aligned_faces / "person 0" / "1.png").read_bytes())
    said = run("add", "--input", aligned_faces, "--keep-crops", code=3, model=True)
    assert "left out: nobody.png: expected NAME/nobody.png or NAME_anything.png: whose picture is it?" in said
    assert "broken.png: not a picture" in said and said.count("left out") == 2
    assert json.loads(run("list", "--json")) == {"Zoe": 1, "person 0": 5, "person 1": 5}
    probe = aligned_faces / "person 1" / "7.png"
    assert run("search", "--input", probe, "--threshold", "0.99", model=True) == "7.png: person 1 1.000\n"
    assert "expected a threshold for by='image'" in run("search", "--input", probe, code=3, model=True)
    assert "cannot show a false match rate of 0.01: expected at least 3,000" in run("calibrate", code=3)
    shown = json.loads(run("calibrate", "--rates", "0.9", "--json"))
    assert shown["impostors"] == 35 and shown["genuine"] == 20
    assert json.loads(run("search", "--input", probe, "--json", "-k", "2", model=True))[0]["matches"][0]["name"] == "person 1"
    assert run("verify", "person 0", "--input", probe, "--threshold", "0.999", model=True).startswith("7.png: not person 0, ")
    receipt = tmp_path / "receipt.json"
    assert run("forget", "person 1", "--receipt", receipt) == f"{receipt}\n"
    assert json.loads(receipt.read_text())["images"] == 5
    assert run("search", "--input", probe, "--threshold", "0.9999", model=True).startswith("7.png: Unknown ")
    assert "there is no person 'person 1'" in run("remove", "person 1", code=3)
    assert [entry["what"] for entry in json.loads(run("audit", "--json"))][-1] == "remove"


def test_a_gallery_moves_to_another_file_key_and_model(run, run_tool, toy_export, aligned_faces, tmp_path):
    run("add", "--input", aligned_faces, "--keep-crops", "--half", model=True)
    assert run("export", tmp_path / "copy.db") == f"{tmp_path}/copy.db: 10 images\n"
    run("remove", "person 0")
    assert run("import", tmp_path / "copy.db") == "0 images added, left out: 5 known, 5 removed before\n"
    said = run("add", "--input", aligned_faces, "--flip", code=3, model=True)
    assert "expected its model: flip False, received True; the model is right, give --detector" in said
    assert "5 images embedded" in run("embed", "--flip", "--out", tmp_path / "flipped.db", model=True)
    key = read_key(tmp_path / "gallery.key")
    with Gallery(tmp_path / "flipped.db", key) as flipped, Gallery(tmp_path / "people.db", key) as plain:
        assert flipped.list() == plain.list() == {"person 1": 5} and flipped.model.flip and flipped.dtype == "float16"
        for (_, _, _, _, one), (_, _, _, _, other) in zip(flipped.crops(), plain.crops(), strict=True):
            assert one == other
    assert run_tool(TOOL, "new-key", tmp_path / "new.key").returncode == 0
    run("rotate-key", "--new-key", tmp_path / "new.key")
    assert run("list", code=3) == f"error: {tmp_path}/people.db: wrong key; nothing was changed\n"


def test_a_receipt_that_cannot_be_written_is_printed(run_tool, tmp_path):
    key = tmp_path / "gallery.key"
    new_key(key)
    Gallery.create(tmp_path / "people.db", ModelIdentity("a" * 64, 2), read_key(key)).close()
    with Gallery(tmp_path / "people.db", read_key(key)) as gallery:
        gallery.add("Ann", np.ones(2))
    done = run_tool(TOOL, "forget", tmp_path / "people.db", "Ann", "--key", key, "--receipt", tmp_path / "none" / "receipt.json")
    assert done.returncode == SaveError.exit_code and json.loads(done.stdout)["forgotten"] == "Ann"
    assert "cannot write this receipt: No such file or directory; 'Ann' is removed" in done.stderr


def test_a_mistake_makes_no_gallery(run, aligned_faces, tmp_path):
    gone = tmp_path / "gone.jpg"
    said = run("add", "--input", gone, code=3, model=True)
    assert said == f"error: {gone}: expected a picture or a folder of pictures, no such file exists\n"
    assert run("add", "--input", aligned_faces, "--any-quality", code=1, model=True).startswith("error: --any-quality: it needs a detector")
    assert not (tmp_path / "people.db").exists()


def test_names_of_files_cannot_control_the_terminal(run, aligned_faces):
    (aligned_faces / "person 0" / "0.png").rename(aligned_faces / "person 0" / "\x1b[2J.png")
    (aligned_faces / "person 0" / "1.png").write_text("words")
    (aligned_faces / "person 0" / "1.png").rename(aligned_faces / "person 0" / "\x07.png")
    assert r"\x07.png" in run("add", "--input", aligned_faces, code=3, model=True)
    shown = run("show", "person 0")
    assert r"\x1b[2J.png" in shown and "\x1b" not in shown


def test_the_picture_without_a_face_is_named():
    with pytest.raises(DataError, match=r"^folder/1\.jpg: expected one face, found none"):
        _only_face(lambda file: [], Path("folder/1.jpg"))


def test_a_gallery_whose_faces_cannot_all_be_embedded_again_leaves_no_part(run, aligned_faces, tmp_path):
    run("add", "--input", aligned_faces, "--keep-crops", model=True)
    key = read_key(tmp_path / "gallery.key")
    with Gallery(tmp_path / "people.db", key) as people, Gallery.create(tmp_path / "bare.db", people.model, key) as bare:
        bare.add("Zoe", np.ones(people.model.size))
        people.import_(bare)
    assert "of 'Zoe' has no stored face" in run("embed", "--out", tmp_path / "new.db", code=3, model=True)
    assert not list(tmp_path.glob("new.db*"))


def test_embeddings_are_those_of_the_model(run, toy_export, aligned_faces, tmp_path):
    from ppface import predict

    run("add", "--input", aligned_faces / "person 0" / "0.png", "--name", "Ann", model=True)
    expected = predict.load(toy_export)(aligned_faces / "person 0" / "0.png")[0].embedding
    with Gallery(tmp_path / "people.db", read_key(tmp_path / "gallery.key")) as gallery:
        rows, _ = gallery.vectors_and_people()
    np.testing.assert_allclose(rows[0], expected / np.linalg.norm(expected), atol=1e-6)
