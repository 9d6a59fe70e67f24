"""tools/release_model.py: two files that give the model's answers, and that every tool takes."""

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from ppface import predict

RELEASE = "tools/release_model.py"


@pytest.fixture
def released(trial, run_tool, tmp_path):
    out = tmp_path / "deep" / "small_v1"
    done = run_tool(RELEASE, "-c", trial.config, "-w", trial.weights, "--out", out)
    assert done.returncode == 0, done.stderr
    size = sum(file.stat().st_size for file in out.iterdir())
    assert done.stdout == f"{out}: {size:,} bytes, from {trial.weights}\n"
    return out


def answers(predict_faces):
    image = np.kron(np.random.default_rng(0).integers(0, 256, (1, 3, 16, 20)), np.ones((8, 8))).astype("uint8")
    return predict_faces({"image": image})


def same(found, expected, tolerance):
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=tolerance, rtol=tolerance)


def test_a_released_model_is_its_config_and_its_weights(trial, released):
    assert sorted(file.name for file in released.iterdir()) == ["config.yml", "weights.safetensors"]
    assert list(yaml.safe_load((released / "config.yml").read_text())) == ["model"]
    same(answers(predict.load_predictor(released)), answers(predict.load_predictor(trial.config, trial.weights)), 0)


def test_it_is_exported_and_released_again(trial, released, run_tool, tmp_path):
    done = run_tool("tools/export_model.py", released, "--out", tmp_path / "export")
    assert done.returncode == 0, done.stderr
    same(answers(predict.load_predictor(tmp_path / "export")), answers(predict.load_predictor(trial.export)), 0)
    done = run_tool(RELEASE, released, "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (released / "weights.safetensors").read_bytes()


def test_half_stores_all_but_vectors_as_float16(trial, released, run_tool, tmp_path):
    done = run_tool(RELEASE, released, "--half", "--out", tmp_path / "half")
    assert done.returncode == 0, done.stderr
    full, half = (load_file(folder / "weights.safetensors") for folder in (released, tmp_path / "half"))
    assert sorted(half) == sorted(full)
    assert {name: array.dtype for name, array in half.items()} == {
        name: np.dtype("float16" if array.ndim > 1 else "float32") for name, array in full.items()
    }
    model = predict.load_model(tmp_path / "half")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), half[name].astype("float32"))


def test_an_existing_folder_is_left_alone(trial, run_tool, tmp_path):
    done = run_tool(RELEASE, "-c", trial.config, "-w", trial.weights, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}: already exists; expected the name of a new folder\n")
