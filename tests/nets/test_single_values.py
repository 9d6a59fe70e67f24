"""Batch norm layers that get one value per channel: those named are the ones whose statistics do not move."""

import paddle
import pytest

from ppface.core.config.spec import build_model, resolve
from ppface.core.config.yaml_tree import parse

INPUT = "input: {size: [32, 32], mean: [127.5, 127.5, 127.5], std: [127.5, 127.5, 127.5]}"
HEAD = "head: {name: Softmax, embedding_size: 16, class_num: 3}"
NETWORKS = {
    "gdc": "{name: MobileFaceNet, embedding_size: 16, input_size: [32, 32]}",
    "avg": "{name: MobileFaceNet, embedding_size: 16, input_size: [32, 32], pooling: avg}",
}


def built(network: str, more: str = ""):
    paddle.seed(0)
    return build_model(resolve(parse(f"model: {{{INPUT}, backbone: {NETWORKS[network]}, {HEAD}{more}}}", "v.yml")))


def unmoved(model, pictures: int) -> list[str]:
    """Names of the batch norm layers whose statistics are still 0 and 1 after a training pass."""
    model.train()
    model({"image": paddle.randint(0, 256, [pictures, 3, 32, 32]).astype("uint8"), "label": paddle.arange(pictures) % 3})
    norms = {name: layer for name, layer in model.named_sublayers() if hasattr(layer, "_variance")}
    return [name for name, layer in norms.items() if not layer._mean.any() and (layer._variance == 1).all()]


@pytest.mark.parametrize(("network", "expected"), [("gdc", ["backbone.pool.1", "backbone.norm"]), ("avg", ["backbone.norm"])])
def test_the_named_layers_are_those_that_learn_nothing(network, expected):
    model = built(network)
    names = model.single_value_norms(1)
    assert names == expected
    assert model.training and unmoved(built(network), 1) == names
    assert model.single_value_norms(2) == [] == unmoved(built(network), 2)


def test_frozen_layers_are_not_named():
    assert built("gdc", ", freeze: [backbone.pool]").single_value_norms(1) == ["backbone.norm"]
