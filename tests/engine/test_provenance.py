"""What runs, checkpoints and exports record, and the same run started again from each of them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from ppface.core import checkpoint_files
from ppface.core.errors import UserError, WeightsError
from ppface.core.spec import load_config
from ppface.engine import checkpoint, provenance
from ppface.engine.checkpoint import CheckpointFolder

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart" / "detection.yml"
TINY = ["train.dataset.length=8", "train.batch_size=8", "trainer.epochs=null", "trainer.iterations=2", "evaluators=null", "processes=1"]


def last(folder: Path) -> Path:
    return CheckpointFolder(folder / "checkpoints").find("last")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, run_tool) -> Path:
    folder = tmp_path_factory.mktemp("provenance") / "one"
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", folder, "-o", *TINY, "seed=7")
    assert done.returncode == 0, done.stderr
    done = run_tool("tools/export_model.py", folder, "--out", folder.parent / "export")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_a_checkpoint_and_an_export_record_how_they_were_made(trained):
    told = json.loads((trained / "environment.json").read_text())
    state = checkpoint.read(last(trained))[1]
    export = yaml.safe_load((trained.parent / "export" / "inference.yml").read_text())
    assert told["name"] == "detection"
    assert told["seed"] == 7
    assert told["processes"] == 1
    assert told["packages"]["ppface"]
    assert len(told["data_sha256"]) == len(told["config_sha256"]) == 64
    assert state["environment"] == told == export["trained"]["environment"]
    assert state["config"] == load_config(trained / "config.yml").plain()
    assert (state["step"], state["epoch"], state["samples"], state["rng"]["seed"]) == (2, 2, 16, 7)
    assert (export["trained"]["step"], export["trained"]["samples"]) == (2, 16)


@pytest.mark.parametrize("kind", ["run", "checkpoint", "export"])
def test_the_same_run_starts_again_from(kind, trained, tmp_path, run_tool):
    source = {"run": trained, "checkpoint": last(trained), "export": trained.parent / "export"}[kind]
    shutil.copytree(source, tmp_path / "kept")
    done = run_tool("tools/train.py", "--reproduce", tmp_path / "kept", "--folder", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert "not as it was recorded" not in done.stderr
    (files, state), (again, told) = checkpoint.read(last(trained)), checkpoint.read(last(tmp_path / "again"))
    assert told["config"] == state["config"]
    for name, arrays in files.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, again[name][key], err_msg=f"{name} {key}")


def test_what_differs_from_the_record_is_told(trained, tmp_path, run_tool):
    shutil.copytree(trained, tmp_path / "kept")
    about = json.loads((tmp_path / "kept" / "environment.json").read_text())
    about["packages"]["numpy"] = "1.0"
    (tmp_path / "kept" / "environment.json").write_text(json.dumps(about))
    overrides = ["train.dataset.length=9", "trainer.iterations=1"]
    done = run_tool("tools/train.py", "--reproduce", tmp_path / "kept", "--folder", tmp_path / "again", "-o", *overrides)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "not as it was recorded" in line]
    assert len(told) == 2
    assert "data_sha256 was " in told[0]
    assert f"numpy was 1.0, is {np.__version__}: the numbers may differ" in told[1]


@pytest.mark.parametrize("damage", [None, "environment.json", "config.yml"])
def test_a_folder_without_a_record_is_one_line(damage, trained, tmp_path, run_tool):
    if damage:
        shutil.copytree(trained, tmp_path / "gone", ignore=shutil.ignore_patterns(damage, "checkpoints"))
    done = run_tool("tools/train.py", "--reproduce", tmp_path / "gone")
    assert done.returncode in (1, 2)
    assert done.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path}/gone")
    assert "Traceback" not in done.stderr


def test_a_checkpoint_without_a_record_is_one_line(tmp_path):
    checkpoint_files.write(tmp_path / "odd", {}, {"environment": []})
    expected = r"odd: expected a run, a checkpoint or an export that records how it was made: "
    with pytest.raises(UserError, match=expected), provenance.source(None, None, str(tmp_path / "odd")):
        pass


def test_a_checkpoint_that_was_changed_is_not_followed(trained, tmp_path):
    shutil.copytree(last(trained), tmp_path / "changed")
    state = tmp_path / "changed" / "state.json"
    state.write_text(state.read_text().replace('"seed": 7', '"seed": 8'))
    message = f"{state}: expected a text that fits the SHA-256 at its end: it was cut or changed"
    with pytest.raises(WeightsError, match=re.escape(message)), provenance.source(None, None, str(state.parent)):
        pass
