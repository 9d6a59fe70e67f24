"""What the data knows and the model needs: offered to it by the run, and saved with the config."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from ppface.core import registry
from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import ConfigError
from ppface.core.registry import Kind, Supplied
from ppface.engine import run
from ppface.engine.world import World


class ToyHead(paddle.nn.Layer):
    def __init__(
        self, in_channels: Annotated[list[int], Supplied("by the model")], class_num: Annotated[int, Supplied("by the data", writable=True)]
    ):
        super().__init__()
        self.linear = paddle.nn.Linear(in_channels[0], class_num)


class ToyModel(paddle.nn.Layer):
    def __init__(self, head: Annotated[Callable[..., Any], Kind("head")]):
        super().__init__()
        self.head = head(in_channels=[3])


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config whose head waits for class_num, and a folder of three people."""
    for person in range(3):
        (tmp_path / "faces" / str(person)).mkdir(parents=True)
        for image in range(2):
            Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(tmp_path / "faces" / str(person) / f"{image}.png")
    for kind, toy in (("model", ToyModel), ("head", ToyHead)):
        registry.names(kind)
        monkeypatch.setitem(registry._components[kind], toy.__name__, toy)
    path = tmp_path / "toy.yml"
    path.write_text(
        f"model: {{name: ToyModel, head: {{name: ToyHead}}}}\n"
        f"train: {{dataset: {{name: IdentityFolder, root: {tmp_path}/faces}}, transforms: [], batch_size: 2}}\n"
    )
    return path


def test_the_number_of_identities_reaches_the_head_and_the_saved_config(config, tmp_path):
    resolved = load_config(config)
    loader = run.open_data(resolved, World("cpu"))
    assert len(loader) == 3 and build_model(resolved).head.linear.weight.shape == [3, 3]
    run.open_folder(tmp_path / "run", resolved, {})
    assert yaml.safe_load((tmp_path / "run" / "config.yml").read_text())["model"]["head"]["class_num"] == 3
    assert build_model(load_config(tmp_path / "run" / "config.yml")).head.linear.weight.shape == [3, 3]  # without its data


def test_a_number_that_the_data_contradicts_is_one_line(config):
    resolved = load_config(config, ["model.head.class_num=5"])
    with pytest.raises(ConfigError) as caught:
        run.open_data(resolved, World("cpu"))
    assert str(caught.value) == "-o model.head.class_num=5: model.head.class_num: expected 3 (supplied by the data), received 5"


def test_without_data_the_head_says_what_it_needs(config):
    with pytest.raises(
        ConfigError, match=r"toy.yml:1: model.head.class_num: ToyHead needs 'class_num', and nothing supplies it: set it here"
    ):
        build_model(load_config(config))


def test_a_data_set_without_facts_changes_nothing(config):
    resolved = load_config(config, ["train.dataset={name: SyntheticFaces, length: 4, size: [32, 32]}", "model.head.class_num=5"])
    run.open_data(resolved, World("cpu"))
    assert resolved["model"]["head"]["class_num"] == 5
