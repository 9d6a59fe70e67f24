"""Backbone and margin head in the one model class: what training and inference get, class_num from the data, weights without a head."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from ppface.core.config.spec import build_model, load_config, resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import ConfigError, DataError
from ppface.core.registry import find
from ppface.losses import CELoss
from ppface.nets.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
model:
  input: {{size: [32, 32], mean: [127.5, 127.5, 127.5], std: [127.5, 127.5, 127.5]}}
  backbone: {{name: MobileFaceNet, embedding_size: 16, input_size: [32, 32]}}
  head: {{name: ArcMargin, embedding_size: 16{more}}}
loss: {{name: CELoss}}
"""


def config(more=""):
    return resolve(parse(CONFIG.format(more=more), "small.yml"))


@pytest.mark.parametrize(("more", "columns"), [("", 20), (", sample_ratio: 0.25", 5)])
def test_training_sees_logits_and_inference_an_embedding(more, columns):
    one = config(more)
    one.supply({"class_num": 20})
    assert one.plain()["model"]["head"]["class_num"] == 20
    model = build_model(one)
    batch = {"image": paddle.randint(0, 256, [4, 3, 32, 32]).astype("uint8"), "label": paddle.to_tensor([0, 5, 5, 19])}
    outputs = model(batch)
    assert outputs["embedding"].shape == [4, 16] and outputs["logits"].shape == [4, columns] and ("label" in outputs) == bool(more)
    assert np.isfinite(one["loss"]()(outputs, batch)["ce"].item()) and isinstance(one["loss"](), CELoss)
    answer = model.predictor()({"image": batch["image"].numpy()})
    assert set(answer) == {"embedding", "norm"}
    np.testing.assert_allclose(answer["norm"], np.linalg.norm(answer["embedding"], axis=1, keepdims=True), rtol=1e-5)


def test_class_num_comes_from_the_data_or_the_file():
    with pytest.raises(ConfigError, match=r"model.head.class_num: ArcMargin needs 'class_num', and nothing supplies it: set it here"):
        config().supply({})  # as a training does whose data set knows no identities
    with pytest.raises(ConfigError, match=r"model.head.class_num: expected 20 \(supplied by the data\), received 7"):
        config(", class_num: 7").supply({"class_num": 20})


def test_a_loss_takes_the_size_of_the_embedding_from_the_model():
    size = build_model(config(", class_num: 7")).facts()["embedding_size"]

    def with_loss(more):
        text = CONFIG.format(more=", class_num: 7").replace("{name: CELoss}", f"{{name: CenterLoss, class_num: 7{more}}}")
        return resolve(parse(text, "small.yml"))

    left_out = with_loss("")
    left_out.supply({"embedding_size": size}, "by the model")
    assert left_out["loss"]().centers.shape == [7, size]
    with pytest.raises(ConfigError, match=rf"loss.embedding_size: expected {size} \(supplied by the model\), received 5$"):
        with_loss(", embedding_size: 5").supply({"embedding_size": size}, "by the model")


@pytest.mark.parametrize("channels", [[8], [4, 8]])
@pytest.mark.parametrize("head", ["AdaMargin", "ArcMargin", "CombinedMargin", "CosMargin", "NormFace", "Softmax"])
def test_a_head_of_another_size_than_the_backbone_is_refused(head, channels):
    expected = "expected embedding_size=8, that of the backbone, received 6"
    if len(channels) > 1:
        expected = "expected a backbone that outputs one embedding, received one with 2 feature maps"
    with pytest.raises(ValueError) as caught:
        find("head", head)(embedding_size=6, class_num=3, in_channels=channels)
    assert str(caught.value) == f"{head}: {expected}"


HEADS = ["AdaMargin", "ArcMargin", "CombinedMargin", "CosMargin", "NormFace", "Softmax"]


@pytest.mark.parametrize("head", HEADS)
def test_embeddings_need_no_number_of_identities(tmp_path, head, caplog):
    """The head's centres in a file, of however many identities, do not matter either."""
    text = CONFIG.replace("ArcMargin", head)
    one = resolve(parse(text.format(more=""), "small.yml"))
    model, trained = build_model(one), build_model(resolve(parse(text.format(more=", class_num: 7"), "small.yml")))
    other = build_model(resolve(parse(text.format(more=", class_num: 1"), "small.yml")))
    assert "class_num" not in one.plain()["model"]["head"]
    assert "head.kernel" in trained.state_dict() and "head.kernel" not in model.state_dict()
    save_file({name: value.numpy() for name, value in trained.state_dict().items()}, tmp_path / "w.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype("uint8")
    for untrained in (model, other):
        load_weights(untrained, tmp_path / "w.safetensors")
        untrained.eval()
    trained.eval()
    for untrained in (model, other):
        np.testing.assert_array_equal(
            untrained.predictor()({"image": image})["embedding"], trained.predictor()({"image": image})["embedding"]
        )
    with pytest.raises(
        ValueError,
        match=f"^{head}: training needs class_num, the number of identities, but it is not set: set it, or use data that supplies it$",
    ):
        model({"image": paddle.to_tensor(image), "label": paddle.to_tensor([0, 1])})


def test_weights_of_a_backbone_are_enough_for_embeddings(tmp_path):
    model, other = build_model(config(", class_num: 7")), build_model(config(", class_num: 7"))
    state = {name: value.numpy() for name, value in model.state_dict().items() if not name.startswith("head.")}
    save_file(state, tmp_path / "w.safetensors")
    report = load_weights(other, tmp_path / "w.safetensors")
    assert report.missing == ("head.kernel",) and len(report.matched) == len(state)
    np.testing.assert_array_equal(other.backbone.conv1.conv.weight.numpy(), model.backbone.conv1.conv.weight.numpy())


@pytest.mark.parametrize(
    "backbone",
    [
        "{name: MobileFaceNet, embedding_size: 16, input_size: [32, 32]}",
        "{name: MobileFaceNet, embedding_size: 16, pooling: fc, input_size: [32, 32]}",
        "{name: AdaFace_IR_18, embedding_size: 16, input_size: [32, 32]}",
    ],
)
def test_a_backbone_for_another_size_than_the_input_is_refused(backbone):
    text = CONFIG.format(more=", class_num: 3").replace("size: [32, 32], mean", "size: [48, 32], mean")
    text = text.replace("{name: MobileFaceNet, embedding_size: 16, input_size: [32, 32]}", backbone)
    with pytest.raises(ConfigError) as error:
        build_model(resolve(parse(text, "small.yml")))
    name = backbone.split()[1].strip(",")
    assert str(error.value) == (
        "small.yml:2: model: expected model.backbone.input_size and model.input.size to be the same, received [32, 32] and [48, 32]: "
        f"{name} takes pictures of one size alone; write that size at both"
    )


def test_a_letterbox_of_another_size_than_the_input_is_refused_by_a_backbone_of_one():
    text = CONFIG.format(more=", class_num: 3").replace(
        "size: [32, 32], mean", "size: [32, 32], test: {mode: letterbox, size: [48, 32]}, mean"
    )
    with pytest.raises(ConfigError) as error:
        build_model(resolve(parse(text, "small.yml")))
    assert str(error.value) == (
        "small.yml:2: model: expected model.input.test.size to be that of model.input.size, [32, 32], with mode 'letterbox', received "
        "[48, 32]: MobileFaceNet takes pictures of one size alone"
    )
    assert build_model(resolve(parse(text.replace("[48, 32]", "[32, 32]"), "small.yml"))).input.test.letterbox


def test_a_backbone_of_any_size_asks_for_none():
    text = (
        CONFIG.format(more=", class_num: 3")
        .replace("size: [32, 32], mean", "size: [48, 32], mean")
        .replace("input_size", "pooling: avg, input_size")
    )
    assert build_model(resolve(parse(text, "small.yml"))).any_size


def test_pictures_of_another_size_are_refused_by_a_backbone_of_one():
    model = build_model(config(", class_num: 3"))
    with pytest.raises(DataError) as error:
        model({"image": paddle.zeros([2, 3, 48, 32], "uint8"), "label": paddle.to_tensor([0, 1])})
    assert str(error.value) == (
        "MobileFaceNet: expected pictures of [height, width] = [32, 32], its input_size, received [48, 32]: "
        "give the data set this size, or align or resize the pictures"
    )


@pytest.mark.parametrize(
    "path", [ROOT / "configs/quickstart/recognition.yml", *sorted((ROOT / "configs/recognition").glob("*.yml"))], ids=lambda path: path.name
)
def test_the_model_of_every_recognition_config_builds(path):
    model = build_model(load_config(path))
    assert getattr(model.backbone, "input_size", model.input.size) == model.input.size  # some take any size
