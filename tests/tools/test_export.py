"""tools/export_model.py: what it writes, that its outputs match the live model at any size, and when it refuses."""

import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from ppface import __version__, predict
from ppface.commands import export as export_command
from ppface.core.config.spec import load_config
from ppface.core.errors import UserError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.engine.export import compare
from ppface.predict.export_formats import check_temporary_room, writable_home
from ppface.predict.exported import Exported

ROOT = Path(__file__).resolve().parents[2]
EXPORT = "tools/export_model.py"


def image(count: int, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 3, height // 8 + 1, width // 8 + 1))
    return np.kron(coarse, np.ones((8, 8)))[:, :, :height, :width].astype("uint8")


def check_sizes(live, exported) -> None:
    """One file takes every batch, height and width."""
    for shape in ((1, 128, 128), (3, 128, 128), (1, 97, 205), (2, 320, 64)):
        batch = {"image": image(*shape)}
        want = live(batch)
        assert len(want["scores"]) == want["count"].sum() > 0
        assert compare(want, exported(batch), 1e-3) < 1e-3


def test_paddle_adds_no_warnings_of_its_own(trial, run_tool, tmp_path):
    done = run_tool(EXPORT, "-c", trial.config, "-w", trial.weights, "--out", tmp_path / "export", fresh=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_written(trial):
    assert re.fullmatch(
        rf"{trial.export}: the outputs of the exported model match the live model \(largest difference \d\.\d\de-\d\d\)\n", trial.told
    )
    names = sorted(file.name for file in trial.export.iterdir())
    assert names == ["config.yml", "environment.json", "inference.yml", "model.json", "model.pdiparams"]
    about = yaml.safe_load((trial.export / "inference.yml").read_text())
    digests = {name: hashlib.sha256((trial.export / name).read_bytes()).hexdigest() for name in ("model.json", "model.pdiparams")}
    trained = {"weights": "small.safetensors", "weights_sha256": hashlib.sha256(trial.weights.read_bytes()).hexdigest()}
    test = {"mode": "long_side", "size": [160, 160], "max_side": 0}
    described = {"name": "image", "layout": "NCHW", "color": "RGB", "dtype": "uint8", "size": [128, 128], "test": test}
    about.pop("git")  # the commit, where the sources are a checkout
    assert about == {
        "format": 1,
        "input": described,
        "outputs": ["boxes", "count", "landmarks", "scores"],
        "classes": ["face"],
        "score_threshold": 0.01,
        "sha256": digests,
        "version": __version__,
        "trained": trained,
    }


def test_the_small_model_takes_every_size(trial):
    check_sizes(predict.load_model(trial.config, trial.weights).predictor(), predict.load_predictor(trial.export, threads=1))


@pytest.mark.parametrize("name", ["blazeface_1000e", "blazeface_fpn_ssh_1000e"])
def test_the_published_models_take_every_size(name, run_tool, make_weights, tmp_path):
    config, weights, out = ROOT / "configs" / "detection" / f"{name}.yml", tmp_path / "random.safetensors", tmp_path / "deep" / "export"
    make_weights(config, weights)
    done = run_tool(EXPORT, "-c", config, "-w", weights, "--out", out, "-o", "model.input.size=[128, 128]")
    assert done.returncode == 0, done.stderr
    check_sizes(predict.load_model(config, weights).predictor(), predict.load_predictor(out, threads=1))


def test_a_folder_that_exists_is_refused(trial, run_tool):
    before = {file: file.stat().st_mtime_ns for file in trial.export.iterdir()}
    done = run_tool(EXPORT, "-c", trial.config, "-w", trial.weights, "--out", trial.export)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {trial.export}: already exists; expected the name of a new folder"
    assert {file: file.stat().st_mtime_ns for file in trial.export.iterdir()} == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_that_trains_on_meanwhile_is_exported_as_it_was_and_reports_it(trial, tmp_path, monkeypatch):
    """As soon as the model is there, the run saves a better checkpoint, removes the one that was read, and has another config."""
    run, plain = tmp_path / "run", predict.open_model
    folder, arrays = CheckpointFolder(run / "checkpoints", keep=1), load_file(trial.weights)
    about = {"config": load_config(trial.config).plain(), "samples": 8}
    first = folder.save({"weights.safetensors": arrays}, {"step": 1} | about, best=True)
    digest = hashlib.sha256((first / "weights.safetensors").read_bytes()).hexdigest()
    (run / "config.yml").write_text(trial.config.read_text())

    def and_trains_on(*given):
        found = plain(*given)
        folder.save({"weights.safetensors": {name: array + 1 for name, array in arrays.items()}}, {"step": 2} | about, best=True)
        (run / "config.yml").write_text("odd")
        assert not first.exists()
        return found

    monkeypatch.setattr(predict, "open_model", and_trains_on)
    monkeypatch.setattr(sys, "argv", ["export_model.py", str(run), "--out", str(tmp_path / "out")])
    assert export_command.main() == 0
    trained = yaml.safe_load((tmp_path / "out" / "inference.yml").read_text())["trained"]
    assert trained == {"weights": "weights.safetensors", "weights_sha256": digest, "step": 1, "samples": 8}
    assert load_config(tmp_path / "out" / "config.yml").plain() == about["config"]
    check_sizes(plain(trial.config, trial.weights).model.predictor(), predict.load_predictor(tmp_path / "out", threads=1))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_export_that_answers_differently_is_not_kept(trial, tmp_path, monkeypatch):
    def wrong(folder):
        right = Exported(folder, threads=1)

        def ask(batch):
            answer = right(batch)
            return answer | {"boxes": answer["boxes"] + 1}

        return ask

    monkeypatch.setattr(predict, "load_predictor", wrong)
    command = ["export_model.py", "-c", str(trial.config), "-w", str(trial.weights), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(
        UserError, match=r"the outputs of the exported model differ from the live model: .* rows differ by more than 0\.001"
    ):
        export_command.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1"])
def test_a_tolerance_that_compares_nothing_is_refused(tmp_path, monkeypatch, capsys, tolerance):
    monkeypatch.setattr(sys, "argv", ["export_model.py", "builtin", "--out", str(tmp_path / "out"), f"--tolerance={tolerance}"])
    with pytest.raises(SystemExit) as caught:
        export_command.arguments()
    assert caught.value.code == 2
    assert "--tolerance: expected a number from 0 on, received" in capsys.readouterr().err


def test_a_full_or_missing_folder_for_temporary_files_is_refused(toy_embedder, tmp_path, monkeypatch):
    free = 4_000_000 + 4 * sum(value.size for value in toy_embedder.parameters())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    check_temporary_room(toy_embedder)
    free -= 1
    with pytest.raises(UserError) as refused:
        check_temporary_room(toy_embedder)
    asked = "expected 4.0 MB of free space for temporary files, found 4.0: make room, or set TMPDIR to another folder"
    assert str(refused.value) == f"{tmp_path}: {asked}"

    def none(*arguments):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(UserError, match=r"^found no folder for temporary files that can be written: set TMPDIR to one$"):
        check_temporary_room(toy_embedder)


def test_paddle_gets_another_home_where_the_own_one_is_not_writable(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path / "closed")  # not of its mode, as root may write anywhere
    for name, writable in (("", True), ("none", True), ("closed", False)):
        home = tmp_path / name
        monkeypatch.setenv("HOME", str(home))
        with writable_home(tmp_path / "other"):
            assert os.environ["HOME"] == str(home if writable else tmp_path / "other")
        assert os.environ["HOME"] == str(home)


def rows(count: int = 200) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"boxes": rng.uniform(0, 100, (count, 4)), "scores": rng.uniform(size=count), "count": np.array([count], np.int32)}


def test_answers_are_compared_as_sets_where_a_threshold_decided_otherwise():
    live = rows()
    fewer = {"boxes": live["boxes"][:-1] + 1e-5, "scores": live["scores"][:-1], "count": np.array([199], np.int32)}
    assert 0 < compare(live, fewer, 1e-3) < 1e-4
    many = {"boxes": live["boxes"][:-9], "scores": live["scores"][:-9], "count": np.array([191], np.int32)}
    with pytest.raises(UserError, match=r"9 of 391 rows differ by more than 0\.001"):
        compare(live, many, 1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_a_difference_unless_both_say_so(value):
    live, strange = rows(), rows()
    strange["boxes"][:, 0] = value
    with pytest.raises(UserError, match="400 of 400 rows differ"):
        compare(live, strange, 1e-3)
    with pytest.raises(UserError, match="400 of 400 rows differ"):
        compare(strange, live, 1e-3)
    assert compare(strange, strange, 1e-3) == 0


def test_other_outputs_and_no_rows_are_differences():
    with pytest.raises(UserError, match=r"the exported model has the outputs \['boxes'\], expected \['boxes', 'count', 'scores'\]"):
        compare(rows(), {"boxes": rows()["boxes"]}, 1e-3)
    with pytest.raises(UserError, match="200 of 200 rows differ"):
        compare(rows(), rows(0), 1e-3)
    with pytest.raises(UserError, match="3 of 3 rows differ"):  # as many rows as `count` has
        compare(rows(1), rows(2) | {"count": np.array([2], np.int32), "boxes": np.zeros((2, 4))}, 1e-3)
    with pytest.raises(UserError, match=r"'boxes' has shape \(200, 5\), expected \(200, 4\)"):
        compare(rows(), rows() | {"boxes": np.zeros((200, 5))}, 1e-3)
    assert compare(rows(0), rows(0), 1e-3) == 0
