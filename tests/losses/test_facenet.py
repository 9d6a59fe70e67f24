"""FaceNet's training as its configs describe it: triplets of unit embeddings beside a classifier over the embeddings before normalisation."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppface.core.config.spec import load_config
from tests.losses.test_triplet_loss import reference
from tests.nets.heads.test_margins import cross_entropy

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "recognition"


@pytest.mark.parametrize(("name", "size"), [("facenet_mobilenet_casia", 128), ("facenet_inception_resnet_v1_casia", 512)])
def test_the_losses_of_the_configs_are_those_of_facenet(name, size, rng):
    config = load_config(CONFIGS / f"{name}.yml")
    head = config["model"]["head"](in_channels=[size], class_num=4)
    assert head.training_only  # in no export, and not needed in a weight file
    y = np.array([0, 0, 1, 1, 2, 3])
    x = rng.normal(size=(6, size))
    label = paddle.to_tensor(y)
    outputs = head.outputs(paddle.to_tensor(x.astype("float32")), label)
    found = {key: float(value) for loss in config["loss"] for key, value in loss()(outputs, {"label": label}).items()}
    logits = x @ head.kernel.numpy().astype("float64") + head.bias.numpy()
    assert found == pytest.approx({"ce": cross_entropy(logits, y), "triplet": reference(x, y, 0.2, "batch_all", "euclidean")}, rel=1e-4)
    assert set(head(paddle.to_tensor(x.astype("float32")))) == {"embedding", "norm"}
