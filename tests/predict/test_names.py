"""Weights of another project through the tools and the library: a file of PyTorch, and the file of names that translates it."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ppface import predict
from ppface.core.errors import WeightsError
from tests.core.files.torch_writer import Tensor, write_legacy

THEIRS = {"_mean": "running_mean", "_variance": "running_var"}


@pytest.fixture
def foreign(trial, tmp_path) -> tuple[Path, Path]:
    """The small detector's weights as PyTorch would have saved those of a network whose parts have other names, and the rules."""
    arrays = {}
    for name, array in load_file(trial.weights).items():
        owner, _, last = name.rpartition(".")
        arrays[f"module.net.{owner.replace('backbone', 'body', 1)}.{THEIRS.get(last, last)}"] = Tensor(array)
    names = tmp_path / "names.yaml"
    names.write_text("names:\n  - ['^net\\.', '']\n  - ['^body', backbone]\n")
    return write_legacy(tmp_path / "theirs.pth", {"state_dict": arrays, "epoch": 12}), names


def test_the_library_loads_them(trial, foreign):
    weights, names = foreign
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    ours, theirs = predict.load(trial.config, trial.weights)(picture), predict.load(trial.config, weights, names=names)(picture)
    assert ours and [(face.box, face.score) for face in theirs] == [(face.box, face.score) for face in ours]
    with pytest.raises(WeightsError, match=r"these are weights of another network: .*; weights of other projects need a file of names"):
        predict.load(trial.config, weights)


@pytest.mark.parametrize("tool", ["export_model.py", "eval.py", "infer.py", "extract.py"])
def test_every_tool_with_weights_takes_names(run_tool, trial, foreign, tool, tmp_path):
    weights, names = foreign
    rest = {
        "export_model.py": ["--out", tmp_path / "export"],
        "eval.py": ["-o", "evaluators=[{name: FaceAP, dataset: {name: SyntheticFaces, length: 2}}]"],
        "infer.py": ["--input", tmp_path, "--output", tmp_path / "out"],
        "extract.py": ["--input", tmp_path / "list.txt", "--out", tmp_path / "e.npy"],
    }[tool]
    (tmp_path / "list.txt").write_text("a.png\n")
    if tool == "export_model.py":
        done = run_tool(f"tools/{tool}", "-c", trial.config, "-w", weights, "--names", names, *rest)
        assert done.returncode == 0 and "match the live model" in done.stdout, done.stderr
        return
    done = run_tool(f"tools/{tool}", "-c", trial.config, "-w", weights, "--names", tmp_path / "gone.yaml", *rest)
    assert done.returncode == WeightsError.exit_code
    told = done.stderr.strip().splitlines()[-1]
    assert told == f"error: {tmp_path / 'gone.yaml'}: cannot read this file of names: No such file or directory"
