"""The classes of a run: kept with it and its exports, and a resume with others is refused before it changes anything."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.core.files import checkpoint_files
from ppface.core.files.checkpoint_files import WeightFile
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.engine import class_examples, classes

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "quickstart" / "recognition.yml"
OTHER = "the data have other classes than this run was trained with"


def made(run: Path, names: list[str] | None) -> Path:
    """A run with one checkpoint."""
    run.mkdir()
    if names is not None:
        classes.write(run, names)
    state = {"step": 3, "best": None, "ema_updates": 0, **classes.record(names)}
    CheckpointFolder(run / "checkpoints").save({"weights.safetensors": {"a": np.ones(2, "float32")}}, state, best=True)
    return run


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (["bo", "ann", "cy"], "class 0 was 'ann', is 'bo' (3 classes then, 3 now)"),
        (["ann", "bob", "cy"], "class 1 was 'bo', is 'bob' (3 classes then, 3 now)"),
        (["ann", "bo", "cy", "dan"], "class 3 was missing, is 'dan' (3 classes then, 4 now)"),
        (["ann", "bo"], "class 2 was 'cy', is missing (3 classes then, 2 now)"),
    ],
)
def test_the_first_difference_is_named(tmp_path, now, found):
    run = made(tmp_path / "run", ["ann", "bo", "cy"])
    classes.check(run, ["ann", "bo", "cy"])
    classes.check(run, None)
    advice = f"restore the data, or train on the new classes from its weights: ppface train -c CONFIG --weights {run}"
    with pytest.raises(DataError) as refusal:
        classes.check(run, now)
    assert str(refusal.value) == f"{run}: {OTHER}: {found}: {advice}"
    for damage in (None, "", "[", "[1]", "{}", '{"0": "ann", "2": "cy"}', '{"0": 1, "1": [], "2": null}', json.dumps(dict(enumerate(now)))):
        (run / "classes.json").unlink() if damage is None else (run / "classes.json").write_text(damage)
        with pytest.raises(DataError) as refusal:
            classes.check(run, now)
        lost = f"3 classes in the run, {len(now)} in the data, with other names; the run's classes.json is missing or changed"
        assert str(refusal.value) == f"{run}: {OTHER}: {lost}: {advice}"
        classes.check(run, ["ann", "bo", "cy"])


@dataclass
class Listed:
    files: list[str]
    labels: np.ndarray


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0, 0, 1, 1, 2, 2], ""),
        ([0, 1, 1, 1, 2, 2], ""),  # one picture was corrected
        ([1, 1, 0, 0, 2, 2], "a0.jpg was of '0', is of '1'"),
        ([0, 0, 2, 2, 1, 1], "b0.jpg was of '1', is of '2'"),
    ],
)
def test_numbers_that_other_people_get_are_found_by_their_pictures(tmp_path, labels, found):
    run, names = made(tmp_path / "run", ["0", "1", "2"]), ["0", "1", "2"]
    files = ["a0.jpg", os.fsdecode(b"a\xc4.jpg"), "b0.jpg", "b1.jpg", "c0.jpg", "c1.jpg"]
    class_examples.write(run, Listed(files, np.array([0, 0, 1, 1, 2, 2])))
    class_examples.write(run, Listed(files, np.array([2, 2, 1, 1, 0, 0])))  # written once
    later = Listed([*files, "new.jpg"][::-1], np.array([*labels, 0])[::-1])
    if found:
        with pytest.raises(DataError) as refusal:
            classes.check(run, names, later)
        assert f"{OTHER}: {found}: restore the data" in str(refusal.value)
    else:
        classes.check(run, names, later)
    for damage in ("", "[]", '{"x": 1}', '{"7": ["a0.jpg"]}', '{"0": ["gone.jpg"]}'):
        (run / "class_examples.json").write_text(damage)
        classes.check(run, names, later)


def test_names_are_the_same_in_any_locale(tmp_path):
    run = made(tmp_path / "run", ["caf\udcc3\udca9", "\udcc4\udce3"])  # as a POSIX locale reads them
    assert json.loads((run / "classes.json").read_text()) == {"0": "café", "1": "\udcc4\udce3"}
    classes.check(run, ["café", "\udcc4\udce3"])
    with pytest.raises(DataError, match=r"class 0 was 'café', is missing \(2 classes then, 0 now\)"):
        classes.check(run, [])


def test_checkpoints_without_classes_fit_all(tmp_path):
    classes.check(made(tmp_path / "run", None), ["ann"])


@pytest.mark.parametrize("names", [["a"], ['q"\n', "李 雷", "\0", ""], [os.fsdecode(b"\xc4\xe3"), "李"], [str(i) for i in range(200)]])
def test_any_name_is_kept_and_the_file_is_written_once(tmp_path, names):
    run = made(tmp_path / "run", names)
    file = run / "classes.json"
    assert json.loads(file.read_text()) == {str(i): name for i, name in enumerate(names)}
    assert ("李" in file.read_text()) == ("李 雷" in names)
    before = file.stat().st_ino
    classes.write(run, names)
    assert file.stat().st_ino == before
    file.write_text("{}")
    classes.write(run, names)
    weights = checkpoint_files.read_weights(run / "checkpoints" / "step_00000003")
    assert classes.of_weights(weights) == names
    state = (weights.file.parent / "state.json").stat().st_size
    assert state < 1000


def test_weights_whose_names_are_lost_are_reported(tmp_path, caplog):
    run = made(tmp_path / "run", ["ann", "bo"])
    (run / "classes.json").unlink()
    weights = checkpoint_files.read_weights(run / "checkpoints" / "step_00000003")
    assert classes.of_weights(weights) is None
    assert caplog.messages == [f"{run}: classes.json is missing or changed: the names of the 2 classes of {weights.file} are unknown"]
    caplog.clear()
    assert classes.of_weights(WeightFile(tmp_path / "theirs.pth")) is None and not caplog.messages


def told(done) -> list[str]:
    """The error, each time it was printed, and the traceback of another."""
    return [line for line in done.stderr.splitlines() if line.startswith(("error: ", "Traceback"))]


def test_a_run_whose_people_changed_is_not_resumed(aligned_faces, tmp_path, run_tool):
    run, options = tmp_path / "run", ["train.batch_size=4", "trainer.epochs=null", "evaluators=[]", "trainer.log_every=1", "device=cpu"]
    data = f"train.dataset={{name: IdentityFolder, root: {aligned_faces}, size: [64, 64], resize: true}}"
    done = run_tool("tools/train.py", "-c", CONFIG, "--folder", run, "-o", data, *options, "trainer.iterations=1", "processes=1")
    assert done.returncode == 0, done.stderr
    assert (run / "classes.json").read_text() == '{\n "0": "person 0",\n "1": "person 1"\n}\n'

    done = run_tool("tools/export_model.py", run, "--out", tmp_path / "export")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "export" / "classes.json").read_text() == (run / "classes.json").read_text()

    (aligned_faces / "person 0").rename(aligned_faces / "zoe")
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    advice = f"restore the data, or train on the new classes from its weights: ppface train -c CONFIG --weights {run}"
    done = run_tool("tools/train.py", "--resume", run, "-o", "trainer.iterations=2", "processes=2")
    found = "class 0 was 'person 0', is 'person 1' (2 classes then, 2 now)"
    assert (done.returncode, told(done)) == (3, [f"error: {run}: {OTHER}: {found}: {advice}"])
    shutil.copytree(aligned_faces / "zoe", aligned_faces / "person 0")  # one more, whose class_num is not the config's
    done = run_tool("tools/train.py", "--resume", run, "-o", "trainer.iterations=2", "processes=1")
    found = "class 2 was missing, is 'zoe' (2 classes then, 3 now)"
    assert (done.returncode, told(done)) == (3, [f"error: {run}: {OTHER}: {found}: {advice}"])
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before

    shutil.rmtree(aligned_faces / "zoe")
    done = run_tool("tools/train.py", "--resume", run, "-o", "trainer.iterations=2", "processes=1")
    assert done.returncode == 0 and "resumed at step 1 of 2" in done.stderr, done.stderr


def test_a_list_with_words_is_trained_on_and_its_table_kept(aligned_faces, tmp_path, run_tool):
    (aligned_faces / "list.csv").write_text("".join(f"person {i // 5}/{i}.png,{'zoe' if i < 5 else 'ann'}\n" for i in range(10)))
    data = f"train.dataset={{name: IdentityList, root: {aligned_faces}, list_file: list.csv, size: [64, 64], resize: true}}"
    options = [data, "train.batch_size=4", "trainer.epochs=null", "trainer.iterations=1", "evaluators=[]", "processes=1"]
    done = run_tool("tools/train.py", "-c", CONFIG, "--folder", tmp_path / "run", "-o", *options)
    assert done.returncode == 0, done.stderr
    line = f"{aligned_faces}/list.csv: the labels ann, zoe are renumbered as classes 0..1; the classes.json of a run lists the label of each class"
    assert done.stderr.count(line) == 1
    assert json.loads((tmp_path / "run" / "classes.json").read_text()) == {"0": "ann", "1": "zoe"}
