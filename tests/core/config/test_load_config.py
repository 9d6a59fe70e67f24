"""Configs of runs: from files and from checked configs, with paths in the home folder."""

import pytest

from ppface.core.config import spec
from ppface.core.errors import ConfigError


def test_a_checked_config_is_taken_where_a_file_is_and_keeps_its_lines(tmp_path):
    file = tmp_path / "small.yml"
    file.write_text("seed: 3\ntrainer:\n  epochs: 2\n  keep: 4\noutput: here\n")
    config = spec.load_config(file)
    assert spec.load_config(config) is config
    changed = spec.load_config(config, ["trainer.keep=7", "seed=5"])
    assert (config["seed"], config["trainer"]["keep"]) == (3, 4)
    assert changed.plain() == spec.load_config(file, ["trainer.keep=7", "seed=5"]).plain()
    origins = {name: str(argument.origin) for name, argument in changed["trainer"].arguments.items()}
    assert (origins["epochs"], origins["keep"], origins["ema"]) == (f"{file}:3", "-o trainer.keep=7", "default")
    with pytest.raises(ConfigError) as caught:
        spec.load_config(config, ["trainer.kep=1"])
    assert caught.value.mistakes == ["-o trainer.kep=1: trainer.kep: Trainer has no argument 'kep'. Did you mean 'keep'?"]


def test_paths_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shared.yml").write_text("seed: 3\nweights: ~/w.safetensors\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yml").write_text("_BASE_: [~/shared.yml]\nweight_names: '~'\n")
    config = spec.load_config(tmp_path / "deep" / "mine.yml", ["output=~/runs"])
    assert (config["weights"], config["output"], config["weight_names"]) == (f"{tmp_path}/w.safetensors", f"{tmp_path}/runs", str(tmp_path))
    assert spec.load_config(config, ["output=a~/b", "weights=~other"]).plain() == config.plain() | {"output": "a~/b", "weights": "~other"}
    config = spec.load_config(config, ["train={batch_size: 2, transforms: [], dataset: {name: IdentityFolder, root: ~/faces}}"])
    assert config["train"]["dataset"]["root"] == f"{tmp_path}/faces"
