"""Configs and files of names that come with ppface, by their names."""

from pathlib import Path

import pytest

import ppface
from ppface.core.errors import ConfigError, WeightsError
from ppface.core.files import shipped
from ppface.core.files.weight_names import read_names

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "configs" / "quickstart" / "detection.yml"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def origin(path: str) -> str:
    return ppface.load_config(path)["model"].origin.source


@pytest.mark.parametrize("name", ["quickstart/detection", "quickstart/detection.yml", "detection", "detection.yml"])
def test_a_config_is_found_by_its_name(elsewhere, name):
    assert origin(name) == str(QUICKSTART)


def test_a_path_wins_over_a_name(elsewhere):
    (elsewhere / "quickstart").mkdir()
    (elsewhere / "quickstart" / "detection.yml").write_text("seed: 7")
    assert ppface.load_config("quickstart/detection.yml")["seed"] == 7
    assert origin("quickstart/detection") == str(QUICKSTART)


def test_a_name_finds_bases_only_if_it_is_whole():
    files = shipped.configs()
    assert shipped.named("blazeface_128", files) == ROOT / "configs" / "detection" / "blazeface_128.yml"
    assert shipped.named("_base_/blazeface_128", files) == ROOT / "configs" / "_base_" / "blazeface_128.yml"
    assert shipped.named("runtime", files) is None


def test_a_name_of_two_files_is_refused_with_both():
    files = {name: Path(f"{name}.yml") for name in ("detection/small", "landmarks/small", "small/other")}
    with pytest.raises(ConfigError) as caught:
        shipped.named("small.yml", files)
    told = "small.yml: expected a path or the name of one config, but detection/small and landmarks/small have this name"
    assert str(caught.value) == told
    assert shipped.named("landmarks/small", files) == Path("landmarks/small.yml")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("quickstart/detectoin", ". Did you mean 'quickstart/detection', which comes with ppface?"),
        ("blazeface_1000", ". Did you mean 'blazeface_1000e', which comes with ppface?"),
        ("/quickstart/detectoin.yml", ""),
        ("qqq.yml", ""),
    ],
)
def test_a_typo_gets_the_nearest_name(elsewhere, path, told):
    with pytest.raises(ConfigError) as caught:
        ppface.load_config(path)
    assert str(caught.value) == f"{path}: cannot read this config: No such file or directory{told}"


def test_a_base_may_be_a_config_that_comes_with_ppface(elsewhere):
    (elsewhere / "mine.yml").write_text("_BASE_: [_base_/runtime.yml, _base_/blazeface_128]\noutput: mine\n")
    config = ppface.load_config("mine.yml")
    assert config["model"].origin.source == str(ROOT / "configs" / "_base_" / "blazeface_128.yml")
    (elsewhere / "_base_").mkdir()
    (elsewhere / "_base_" / "runtime.yml").write_text("seed: 7\n")  # relative to the config: this one wins
    assert ppface.load_config("mine.yml")["seed"] == 7


def test_a_base_is_never_relative_to_the_working_folder(elsewhere):
    (elsewhere / "sub").mkdir()
    (elsewhere / "sub" / "mine.yml").write_text("_BASE_: other.yml\n")
    (elsewhere / "other.yml").write_text("seed: 7\n")
    with pytest.raises(ConfigError, match=r"^sub/other.yml: cannot read this config \(a _BASE_ of sub/mine.yml\)"):
        ppface.load_config("sub/mine.yml")


def test_a_file_of_names_is_found_by_its_name(elsewhere):
    assert read_names("facenet_pytorch").path == ROOT / "configs" / "weights" / "facenet_pytorch.yaml"
    with pytest.raises(WeightsError, match=r"Did you mean 'facenet_pytorch', which comes with ppface\?$"):
        read_names("facenet_pytorsch.yaml")
