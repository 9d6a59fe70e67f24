"""The config of a run whose config.yml is gone: what its checkpoints record, with a warning, or one line that says what to do."""

import pytest

from ppface.core.config.run_config import config_file
from ppface.core.config.yaml_tree import read
from ppface.core.errors import WeightsError
from ppface.core.files import checkpoint_files
from ppface.core.files.checkpoint_folder import CheckpointFolder

CONFIGS = [{"seed": 1}, {"seed": 2, "output": "ü: '1e-3'", "model": {"name": "X", "p": [1e-3, None, True]}}]


@pytest.fixture
def run(tmp_path):
    folder = CheckpointFolder(tmp_path / "run" / "checkpoints")
    for step, config in enumerate(CONFIGS, 1):
        folder.save({"weights.safetensors": {}}, {"step": step, "config": config}, best=step == 1)
    return tmp_path / "run"


def test_a_run_without_its_config_has_that_of_its_newest_checkpoint(run, caplog):
    with config_file(run) as file:
        assert read(file).plain() == CONFIGS[1]
    assert caplog.messages == [f"{run}/config.yml is missing; using the config stored in {run}/checkpoints/step_00000002"]


def test_a_checkpoint_has_its_own_config(run, caplog):
    with config_file(run / "checkpoints" / "step_00000001") as file:
        assert read(file).plain() == CONFIGS[0]
    assert not caplog.messages


def test_a_config_that_is_there_is_taken(run, caplog):
    (run / "config.yml").write_text("seed: 3\n")
    for given in (run, run / "config.yml"):
        with config_file(given) as file:
            assert file == run / "config.yml"
    assert not caplog.messages


def test_where_no_config_is_left_it_is_one_line(run, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "inference.yml").write_text("")
    checkpoint_files.write(tmp_path / "bare", {}, {"step": 1})
    CheckpointFolder(tmp_path / "old" / "checkpoints").save({"weights.safetensors": {}}, {"step": 1}, best=False)
    none, saved = "expected the folder of a run (config.yml) or of an export (inference.yml)", tmp_path / "old/checkpoints/step_00000001"
    lost = "state.json: config: expected the config of the run, found none: give one with -c, and --weights"
    for folder, told in {
        tmp_path: f"{tmp_path}: {none}",
        run / "checkpoints": f"{run}/checkpoints: {none}; give the run, {run}",
        tmp_path / "export": f"{tmp_path}/export: expected config.yml in this export, found none: export or copy it again, "
        "or give a config with -c",
        tmp_path / "bare": f"{tmp_path}/bare/{lost} {tmp_path}/bare",
        tmp_path / "old": f"{saved}/{lost} {saved}",
    }.items():
        with pytest.raises(WeightsError) as caught, config_file(folder):
            pass
        assert str(caught.value) == told
