"""What runs, checkpoints and exports record, and the same run started again from each of them."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from ppface.core.config.spec import load_config
from ppface.core.errors import UserError, WeightsError
from ppface.core.files import checkpoint_files
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
    assert "environment changed since this run" not in done.stderr
    (files, state), (again, told) = checkpoint.read(last(trained)), checkpoint.read(last(tmp_path / "again"))
    assert told["config"] == state["config"]
    for name, arrays in files.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, again[name][key], err_msg=f"{name} {key}")


def test_what_differs_from_the_record_is_reported(trained, tmp_path, run_tool):
    shutil.copytree(trained, tmp_path / "kept")
    about = json.loads((tmp_path / "kept" / "environment.json").read_text())
    about["packages"]["numpy"] = "1.0"
    (tmp_path / "kept" / "environment.json").write_text(json.dumps(about))
    overrides = ["train.dataset.length=9", "trainer.iterations=1"]
    done = run_tool("tools/train.py", "--reproduce", tmp_path / "kept", "--folder", tmp_path / "again", "-o", *overrides)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "environment changed since this run" in line]
    assert len(told) == 2
    assert "data_sha256 was " in told[0]
    assert f"numpy was 1.0, is {np.__version__}; results may differ" in told[1]


RECORD = "expected a run, a checkpoint or an export that records how it was made: FileNotFoundError: "
NO_RUN = "expected the folder of a run (config.yml) or of an export (inference.yml)"


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (None, 1, f"/environment.json: {RECORD}"),
        ("environment.json", 1, f"/environment.json: {RECORD}"),
        ("config.yml", 4, f": {NO_RUN}"),
    ],
)
def test_a_folder_without_a_record_is_one_line(damage, code, message, trained, tmp_path, run_tool):
    if damage:
        shutil.copytree(trained, tmp_path / "gone", ignore=shutil.ignore_patterns(damage, "checkpoints"))
    done = run_tool("tools/train.py", "--reproduce", tmp_path / "gone")
    assert done.returncode == code
    assert done.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path}/gone{message}")
    assert "Traceback" not in done.stderr


def opened(reproduce: Path | None = None, resume: Path | None = None) -> tuple[str, dict]:
    """The text of the config and the record that tools/train.py gets."""
    with provenance.source(None, resume and str(resume), reproduce and str(reproduce)) as (file, recorded):
        return file.read_text(encoding="utf-8"), recorded


MAPPING, NAME = "expected a mapping that records how the run was made", "name: expected the name of a run, a word without /"
ODD = [
    ([], f"{MAPPING}, received []"),
    ("text", f"{MAPPING}, received 'text'"),
    ({"processes": 1}, f"{NAME}, received None"),
    ({"name": ["a"], "processes": 1}, f"{NAME}, received ['a']"),
    ({"name": "../a", "processes": 1}, f"{NAME}, received '../a'"),
    ({"name": "..", "processes": 1}, f"{NAME}, received '..'"),
    ({"name": "a\0", "processes": 1}, f"{NAME}, received 'a\\x00'"),
    ({"name": "a", "processes": "2"}, "processes: expected a whole number of at least 1, received '2'"),
    ({"name": "a", "processes": True}, "processes: expected a whole number of at least 1, received True"),
    ({"name": "a", "processes": 0}, "processes: expected a whole number of at least 1, received 0"),
]


@pytest.mark.parametrize(("about", "message"), ODD)
def test_a_record_of_other_types_is_one_line_that_names_the_file_and_the_key(tmp_path, about, message):
    run, export = tmp_path / "run", tmp_path / "export"
    for folder in (run, export):
        folder.mkdir()
        (folder / "config.yml").write_text("seed: 1\n")
    (run / "environment.json").write_text(json.dumps(about))
    (export / "inference.yml").write_text(yaml.safe_dump({"trained": {"environment": about}}))
    checkpoint_files.write(tmp_path / "step", {}, {"step": 1, "config": {}, "environment": about})
    for folder, where in (
        (run, "environment.json"),
        (export, "inference.yml: trained: environment"),
        (tmp_path / "step", "state.json: environment"),
    ):
        with pytest.raises(UserError) as caught:
            opened(reproduce=folder)
        assert (str(caught.value), caught.value.exit_code) == (f"{folder}/{where}: {message}", 1)


@pytest.mark.parametrize("text", ["[", "\xff", "[" * 100_000])
def test_a_record_that_is_no_text_is_one_line(tmp_path, text):
    (tmp_path / "environment.json").write_bytes(text.encode("latin-1"))
    expected = f"{tmp_path}/environment.json: expected a run, a checkpoint or an export that records how it was made: "
    with pytest.raises(UserError, match=re.escape(expected)):
        opened(reproduce=tmp_path)
    (tmp_path / "inference.yml").write_bytes(b"trained: \xff")
    with pytest.raises(UserError, match=r"inference.yml: expected a run, .*: UnicodeDecodeError: "):
        opened(reproduce=tmp_path)


def test_parts_of_a_record_that_decide_nothing_are_reported_and_left_out(caplog):
    provenance.compare([], {})
    provenance.compare({}, {"seed": 1})
    assert not caplog.messages
    provenance.compare("odd", {"seed": 1})
    provenance.compare({"packages": ["numpy"], "environment": 3, "seed": 1}, {"packages": {"numpy": "1"}, "environment": {}, "seed": 2})
    provenance.compare({"environment": {1: "a", "OMP_NUM_THREADS": "1"}}, {"environment": {"OMP_NUM_THREADS": "1"}})
    left = "in the recorded environment, received {}: not compared"
    assert caplog.messages == [
        f"environment: expected a mapping {left.format(repr('odd'))}",
        f"environment: packages: expected a mapping {left.format(['numpy'])}",
        f"environment: environment: expected a mapping {left.format(3)}",
        "environment changed since this run: seed was 1, is 2; results may differ",
        "environment changed since this run: 1 was a, is None; results may differ",
    ]


def test_a_config_that_was_edited_is_reported_and_options_are_not(trained, tmp_path, run_tool):
    shutil.copytree(trained, tmp_path / "kept")
    recorded = opened(reproduce=tmp_path / "kept")[1]
    assert recorded["config_file_sha256"] == recorded["config_sha256"]
    config = tmp_path / "kept" / "config.yml"
    config.write_text(config.read_text().replace("seed: 7", "seed: 8"))
    done = run_tool(
        "tools/train.py", "--reproduce", tmp_path / "kept", "--folder", tmp_path / "again", "-o", "trainer.iterations=1", "seed=7"
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(" ", 1)[1] for line in done.stderr.splitlines() if "environment changed since this run" in line]
    was, found = recorded["config_sha256"], hashlib.sha256(config.read_bytes()).hexdigest()
    assert told == [f"environment changed since this run: the text of {config}, by its SHA-256, was {was}, is {found}; results may differ"]


def test_a_run_without_its_config_goes_on_and_starts_again_by_that_of_its_checkpoint(trained, tmp_path, run_tool):
    shutil.copytree(trained, tmp_path / "kept")
    config = tmp_path / "kept" / "config.yml"
    before = config.read_text()
    config.unlink()
    told = f"{config} is missing; using the config stored in {last(tmp_path / 'kept')}"
    done = run_tool("tools/train.py", "--reproduce", tmp_path / "kept", "--folder", tmp_path / "again")
    assert done.returncode == 0 and told in done.stderr and "environment changed since this run" not in done.stderr, done.stderr
    done = run_tool("tools/train.py", "--resume", tmp_path / "kept", "-o", "trainer.iterations=3")
    assert done.returncode == 0 and told in done.stderr, done.stderr
    assert config.read_text() == before.replace("iterations: 2", "iterations: 3")
    assert last(tmp_path / "kept").name == "step_00000003"


def test_what_is_no_run_cannot_be_resumed_and_the_command_that_helps_is_reported(trained, tmp_path, run_tool):
    step = last(trained)
    done = run_tool("tools/train.py", "--resume", step)
    advice = f"--resume {trained} continues from the newest checkpoint; --reproduce {step} starts the same run again"
    expected = f"error: {step}: expected the folder of a run, received one checkpoint: {advice}"
    assert (done.returncode, done.stderr.strip()) == (1, expected)
    shutil.copytree(step, tmp_path / "alone")
    with pytest.raises(UserError, match="received one checkpoint: --resume RUN continues from the newest checkpoint; --reproduce "):
        opened(resume=tmp_path / "alone")
    with pytest.raises(UserError, match="gone: expected the folder of a run, but it does not exist"):
        opened(resume=tmp_path / "gone")
    with pytest.raises(WeightsError, match=re.escape(f"{trained}/checkpoints: {NO_RUN}; give the run, {trained}")):
        opened(resume=trained / "checkpoints")


def test_a_run_without_its_environment_names_the_checkpoint_that_records_it(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "kept", ignore=shutil.ignore_patterns("environment.json"))
    with pytest.raises(UserError) as caught:
        opened(reproduce=tmp_path / "kept")
    assert str(caught.value).endswith(f"; its checkpoints record the same: --reproduce {last(tmp_path / 'kept')}")
    assert opened(reproduce=last(tmp_path / "kept"))[1]["name"] == "detection"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("config", ["odd"], "expected a mapping, received ['odd']"),
        ("log_window", 3, "expected null or a mapping of steps, "),
        ("classes", {"count": 2}, "expected a mapping of count, a whole number, and sha256, a text, received "),
    ],
)
def test_a_resealed_state_of_other_types_resumes_and_exports_nothing(trained, tmp_path, run_tool, key, value, told):
    step = tmp_path / "kept" / "checkpoints" / "step_00000002"
    shutil.copytree(trained, tmp_path / "kept", ignore=shutil.ignore_patterns("step_00000001"))
    reseal(step, key, value)
    for command in (["train.py", "--resume", tmp_path / "kept"], ["export_model.py", tmp_path / "kept", "--out", tmp_path / "out"]):
        done = run_tool(f"tools/{command[0]}", *command[1:])
        assert done.returncode == 4 and "Traceback" not in done.stderr
        assert f"  {step}/state.json: {key}: {told}" in done.stderr.splitlines()[-1]


def test_a_resealed_environment_is_reported_and_the_run_goes_on(trained, tmp_path, run_tool):
    shutil.copytree(trained, tmp_path / "kept")
    reseal(last(tmp_path / "kept"), "environment", ["odd"])
    done = run_tool("tools/train.py", "--resume", tmp_path / "kept", "-o", "trainer.iterations=3")
    assert done.returncode == 0, done.stderr
    assert "environment: expected a mapping in the recorded environment, received ['odd']: not compared" in done.stderr


def reseal(step: Path, key: str, value: object) -> None:
    """Another program's hand: the state is changed, and its digest fits."""
    state = checkpoint_files.read_state(step)
    state = {name: state[name] for name in state if not name.endswith("_of_the_above")} | {key: value}
    (step / "state.json").write_bytes(checkpoint_files._sealed(state))


def test_a_checkpoint_that_was_changed_is_not_followed(trained, tmp_path):
    shutil.copytree(last(trained), tmp_path / "changed")
    state = tmp_path / "changed" / "state.json"
    state.write_text(state.read_text().replace('"seed": 7', '"seed": 8'))
    message = f"{state}: expected a text that matches the SHA-256 at its end: it was truncated or changed"
    with pytest.raises(WeightsError, match=re.escape(message)), provenance.source(None, None, str(state.parent)):
        pass


def test_an_installed_package_records_no_commit_of_the_project_around_it(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "venv" / "site-packages" / "ppface" / "engine" / "provenance.py"))
    assert provenance._git_state() is None
