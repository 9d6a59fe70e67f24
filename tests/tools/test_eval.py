"""tools/eval.py on a config, a run and an export, and the one line that each bad input gets from the tools."""

import json
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from ppface.core.config.spec import build_model, load_config
from ppface.core.files.checkpoint_folder import CheckpointFolder

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "quickstart" / "detection.yml")
FEW = ["evaluators.0.dataset.length=6", "model.post.pre_top=50", "model.post.keep_top=10"]


@pytest.fixture
def tool(run_tool):
    return lambda name, *arguments: run_tool(f"tools/{name}.py", *arguments)


def refused(done: subprocess.CompletedProcess, code: int) -> str:
    """The last line of a tool that left with this exit code, without a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    paddle.seed(0)
    model = build_model(load_config(CONFIG))
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file({name: value.numpy() for name, value in model.state_dict().items()}, path)
    return path


def test_a_config_a_run_and_an_export_have_the_same_values(tmp_path, weights, tool):
    run = tmp_path / "run"
    CheckpointFolder(run / "checkpoints").save({"weights.safetensors": load_file(weights)}, {"step": 1}, best=False)
    (run / "config.yml").write_text(yaml.safe_dump(load_config(CONFIG, FEW).plain()))
    done = tool("export_model", run, "--out", tmp_path / "export")
    assert done.returncode == 0, done.stderr

    by_config = tool("eval", "-c", CONFIG, "-w", weights, "--json", tmp_path / "c.json", "-o", *FEW)
    assert by_config.returncode == 0, by_config.stderr
    assert tool("eval", run).returncode == tool("eval", tmp_path / "export").returncode == 0
    files = [tmp_path / "c.json", run / "evaluation.json", tmp_path / "export" / "evaluation.json"]
    config, live, exported = (json.loads(file.read_text())["metrics"] for file in files)
    assert set(config) == {"ap", "recall"}
    assert config == live
    assert exported == pytest.approx(live, abs=1e-3)
    table = dict(line.split() for line in by_config.stdout.splitlines())
    assert float(table["ap"]) == pytest.approx(config["ap"], abs=1e-4)


def test_a_run_without_its_config_and_a_checkpoint_alone_are_evaluated_and_exported(tmp_path, weights, tool):
    run, config = tmp_path / "run", load_config(CONFIG, FEW).plain()
    state = {"step": 1, "config": config}
    step = CheckpointFolder(run / "checkpoints").save({"weights.safetensors": load_file(weights)}, state, best=False)
    told = f"{run}/config.yml is missing; using the config stored in {step}"
    found = []
    for source in (run, step):
        done = tool("eval", source, "--json", tmp_path / "e.json")
        assert done.returncode == 0, done.stderr
        assert (told in done.stderr) == (source == run)
        found.append(json.loads((tmp_path / "e.json").read_text())["metrics"])
    assert found[0] == found[1]
    done = tool("export_model", run, "--out", tmp_path / "export")
    assert done.returncode == 0 and told in done.stderr, done.stderr
    assert load_config(tmp_path / "export" / "config.yml").plain() == config
    (tmp_path / "export" / "config.yml").unlink()
    line = refused(tool("eval", tmp_path / "export"), 4)
    lost = "expected config.yml in this export, found none: export or copy it again, or give a config with -c"
    assert line == f"error: {tmp_path}/export: {lost}"
    line = refused(tool("eval", run, "-o", "evaluators=[]"), 1)
    assert line == f"error: {run}: expected evaluators in the config, found none: give a config that has some with -c"


def test_weights_that_do_not_fit_are_one_line(tmp_path, weights, tool):
    gone = refused(tool("eval", "-c", CONFIG, "-w", "gone.pdparams"), 4)
    assert (
        gone
        == "error: gone.pdparams: expected a weight file (.safetensors, .pdparams, .pdopt, .bin, .pth, .pt, .tar, .ckpt or .params), found none"
    )
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": np.zeros((2, 2), "float32")}, other)
    line = refused(tool("eval", "-c", CONFIG, "-w", other), 4)
    assert line.startswith(f"error: {other}: these are weights of another network: 0 of the model's ")
    line = refused(tool("eval", "-c", CONFIG, "-w", weights, "-o", "model.head.landmarks=6"), 4)
    assert "have another shape than the model" in line
    hostile = tmp_path / "hostile.pdparams"
    hostile.write_bytes(pickle.dumps({"a": os.getcwd}))
    line = refused(tool("eval", "-c", CONFIG, "-w", hostile), 4)
    assert "expected only arrays, but the file refers to posix.getcwd at 'a'; it was not loaded" in line


def test_a_missing_data_set_is_one_line_with_what_to_do(weights, tool):
    line = refused(
        tool("train", "-c", ROOT / "configs" / "detection" / "blazeface_1000e.yml", "-o", "processes=1", "output=/dev/null/x"), 3
    )
    assert line.startswith("error: WiderFace: expected a folder, but dataset/wider_face does not exist: unpack ")
    line = refused(tool("eval", "-c", CONFIG, "-w", weights, "-o", "evaluators.0.dataset={name: WiderFace, root: gone}"), 3)
    assert line.startswith("error: WiderFace: ")
    assert "gone" in line


def test_channels_that_do_not_fit_are_one_line(tool):
    line = refused(tool("eval", "-c", CONFIG, "-w", "x", "-o", "model.backbone.blaze_filters=[[24, 24], [23, 48, 2]]"), 2)
    assert line == (
        "error: "
        + f"{CONFIG}:6: model.backbone: BlazeNet: blaze_filters[1]: expected in=24, the channels of the block before it, received [23, 48, 2]"
    )


def test_a_loss_that_is_not_finite_ends_the_training_with_its_code(tmp_path, tool):
    done = tool(
        "train", "-c", CONFIG, "--folder", tmp_path / "run",
        "-o", "processes=1", "train.dataset.length=16", "evaluators=[]", "loss.loc_weight=1e38", "loss.conf_weight=1e38", "trainer.epochs=1",
    )  # fmt: skip
    assert refused(done, 5) == "Training stopped before the update. Try a smaller learning rate or clip_norm"
    assert "error: step 1: loss 'loc' is inf, loss 'conf' is inf. Its batch: synthetic-0-" in done.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_option_that_is_missing_is_a_usage_error(tool):
    assert tool("train").returncode == tool("eval").returncode == tool("export_model", "--out", "x").returncode == 2


def test_a_high_score_threshold_is_reported_for_live_models_and_exports(tmp_path, weights, tool):
    options = [*FEW, "model.post.score_threshold=0.2", "evaluators.0.dataset.length=2"]
    assert tool("export_model", "-c", CONFIG, "-w", weights, "--out", tmp_path / "export", "-o", *options).returncode == 0
    for source in (["-c", CONFIG, "-w", weights, "--json", tmp_path / "c.json", "-o", *options], [tmp_path / "export"]):
        done = tool("eval", *source)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("post.score_threshold=0.2: faces with lower scores are missing") == 1
