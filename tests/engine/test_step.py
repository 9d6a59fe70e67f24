"""Several losses, losses with state, frozen parts and networks, heads with parts for training only: trained, saved, resumed, exported."""

from pathlib import Path
from typing import Annotated

import numpy as np
import paddle
import pytest
from paddle import nn
from safetensors.numpy import load_file, save_file

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import ConfigError, WeightsError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.registry import Kind, Supplied, _components
from ppface.engine import checkpoint, run
from ppface.losses import CenterLoss
from ppface.nets.model import FaceModel, Input
from ppface.nets.weights import load_weights
from ppface.optim import Adam
from tests.engine.toys import Line, cross_entropy, files, step, trainer

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "train.dataset.identities=6", "train.dataset.images=4", "train.batch_size=4", "processes=1", "evaluators=[]", "trainer.epochs=null",
    "trainer.iterations=4", "trainer.log_every=2", "trainer.ema=0.9",
]  # fmt: skip


class Learned(nn.Layer):
    """A loss with a parameter, a buffer and a moving copy of its parameter."""

    def __init__(self, name="learned"):
        super().__init__()
        self.called = name
        self.scale = self.create_parameter([2], default_initializer=nn.initializer.Constant(1.0))
        self.copy = self.create_parameter([2], default_initializer=nn.initializer.Constant(1.0))
        self.copy.stop_gradient = True
        self.register_buffer("seen", paddle.zeros([1], "int64"))

    def forward(self, outputs, batch):
        if self.training:
            with paddle.no_grad():
                self.copy.set_value(0.9 * self.copy + 0.1 * self.scale)
                self.seen.set_value(self.seen + 1)
        return {self.called: 0.1 * ((outputs["logits"] * self.scale) ** 2).mean() + (self.copy * 0).sum()}


def adam(**supplied):
    return Adam(learning_rate=0.05, clip_norm=1.0, **supplied)


def made(folder, losses=(cross_entropy, Learned), **options):
    return trainer(folder, adam, [loss() if isinstance(loss, type) else loss for loss in losses], **options)


def test_the_losses_are_joined_and_what_they_learn_is_trained_and_saved(tmp_path):
    one = made(tmp_path, log_every=1)
    one.train()
    saved = files(tmp_path)
    assert {"0.scale", "0.copy", "0.seen"} == {name.replace("1.", "0.") for name in saved["loss.safetensors"]}
    assert saved["loss.safetensors"]["1.seen"] == 8 and (saved["loss.safetensors"]["1.scale"] != 1).all()
    assert {"loss.1.scale/moment1", "loss.1.scale/moment2"} <= set(saved["optimizer.safetensors"])
    assert not any("copy" in name for name in saved["optimizer.safetensors"])
    assert set(saved["weights.safetensors"]) == set(Line().state_dict())
    assert '"loss/ce"' in (tmp_path / "log.jsonl").read_text() and '"loss/learned"' in (tmp_path / "log.jsonl").read_text()


@pytest.mark.parametrize("at", [1, 5])
def test_a_run_with_loss_state_resumes_to_the_byte(tmp_path, at):
    made(tmp_path / "whole", ema=0.9).train()
    made(tmp_path / "parts", ema=0.9, iterations=at).train()
    rest = made(tmp_path / "parts", ema=0.9)
    rest.resume(rest.checkpoints)
    rest.train()
    for file in ("weights", "loss", "optimizer", "ema"):
        one, other = (
            (CheckpointFolder(tmp_path / name / "checkpoints").find("last") / f"{file}.safetensors") for name in ("whole", "parts")
        )
        assert one.read_bytes() == other.read_bytes(), file


def test_a_skipped_step_leaves_the_losses_as_they_were(tmp_path):
    class Once(nn.Layer):
        def forward(self, outputs, batch):
            return {"nan": outputs["logits"].sum() * float("nan")}

    one = made(tmp_path, losses=(cross_entropy, Learned, Once), nonfinite="skip", iterations=2)
    before = {name: value.numpy().copy() for name, value in one.train_step.loss.state_dict().items()}
    one.train()
    for name, value in one.train_step.loss.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)


def test_a_gradient_of_a_loss_that_is_not_finite_is_named(tmp_path):
    from ppface.core.errors import NumericError

    class Root(Learned):
        def forward(self, outputs, batch):
            return {"root": paddle.sqrt(((self.scale - self.scale.detach()) ** 2).sum())}

    with pytest.raises(NumericError, match=r"the gradient of loss\.1\.scale is not finite"):
        made(tmp_path, losses=(cross_entropy, Root)).train()


def test_two_losses_of_one_name_are_refused_before_the_first_update(tmp_path):
    with pytest.raises(ConfigError, match=r"^loss\.1: Loss returns a loss named 'ce', and so does loss\.0: remove one of them$"):
        made(tmp_path, losses=(cross_entropy, cross_entropy)).train()


def test_a_checkpoint_without_the_losses_state_is_refused_by_name(tmp_path):
    trainer(tmp_path, optimizer=adam, iterations=2).train()
    assert "loss.safetensors" not in files(tmp_path)
    one = made(tmp_path)
    with pytest.raises(
        WeightsError,
        match=r"loss\.safetensors: this checkpoint was saved with another loss than the config's: 3 names differ, first 1\.copy; resume with the config of the run",
    ):
        one.resume(one.checkpoints)


def recognition(tmp_path, *overrides):
    return load_config(ROOT / "configs" / "quickstart" / "recognition.yml", [*TINY, *overrides])


LOSSES = "loss=[{name: CELoss}, {name: CenterLoss, embedding_size: 128}]"


def test_a_config_trains_with_a_list_of_losses_and_class_num_comes_from_the_data(tmp_path, run_tool):
    quickstart = ROOT / "configs" / "quickstart" / "recognition.yml"
    done = run_tool("tools/train.py", "-c", quickstart, "--folder", tmp_path / "run", "-o", *TINY, LOSSES)
    assert done.returncode == 0, done.stderr
    assert "ce " in done.stderr and "center 0." in done.stderr
    last = CheckpointFolder(tmp_path / "run" / "checkpoints").find("last")
    centers = load_file(last / "loss.safetensors")["1.centers"]
    assert centers.shape == (6, 128) and abs(centers).max() > 0
    assert not any("center" in name for file in ("weights", "ema") for name in load_file(last / f"{file}.safetensors"))
    twice = ["loss=[{name: CELoss}, {name: CELoss}]"]
    done = run_tool("tools/train.py", "-c", quickstart, "--folder", tmp_path / "twice", "-o", *TINY, *twice)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "loss.1: CELoss returns a loss named 'ce', and so does " + f"-o {twice[0]}: loss.0: remove one of them"
    )


def test_a_config_without_losses_or_with_an_unknown_one_is_refused():
    from ppface.core.errors import UserError

    with pytest.raises(UserError, match=r"expected loss in a config to train from"):
        run.check_trainable(recognition(None, "loss=[]"))
    with pytest.raises(ConfigError, match=r"loss\.1\.name: there is no loss 'CentreLoss'\. Did you mean 'CenterLoss'\?"):
        recognition(None, "loss=[{name: CELoss}, {name: CentreLoss}]")


# frozen parts


def test_frozen_parts_keep_weights_and_statistics(tmp_path, run_tool):
    quickstart = ROOT / "configs" / "quickstart" / "recognition.yml"
    first, frozen = tmp_path / "first", tmp_path / "frozen"
    assert run_tool("tools/train.py", "-c", quickstart, "--folder", first, "-o", *TINY).returncode == 0
    options = [*TINY, f"weights={first}", "model.freeze=[backbone]", "trainer.ema=0"]
    done = run_tool("tools/train.py", "-c", quickstart, "--folder", frozen, "-o", *options)
    assert done.returncode == 0, done.stderr
    start = load_file(CheckpointFolder(first / "checkpoints").find("best") / "ema.safetensors")
    saved = CheckpointFolder(frozen / "checkpoints").find("last")
    for name, array in load_file(saved / "weights.safetensors").items():
        if name.startswith("backbone.") or name == "head.kernel":
            assert np.array_equal(array, start[name]) == name.startswith("backbone."), name
    assert all(name.startswith("head.kernel/") for name in load_file(saved / "optimizer.safetensors"))


def test_freezing_follows_dotted_names_and_training_mode(tmp_path):
    model = build_model(recognition(tmp_path, "model.freeze=[backbone.conv1, head]", "model.head.class_num=3"))
    model.train()
    modes = {name: layer.training for name, layer in model.named_sublayers()}
    assert not modes["backbone.conv1"] and not modes["head"] and modes["backbone"]
    assert all(not layer.training for layer in model.backbone.conv1.sublayers())
    assert all(p.stop_gradient for p in [*model.backbone.conv1.parameters(), *model.head.parameters()])
    step(model).train()
    assert not model.backbone.conv1.training and model.backbone.training


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("[backbon]", "freeze: the model has no part 'backbon'. Did you mean 'backbone'?"),
        ("[backbone, head]", "freeze: backbone, head together are the whole model: nothing is left to train"),
    ],
)
def test_freezing_what_is_not_there_or_everything(tmp_path, names, message):
    with pytest.raises(ConfigError) as caught:
        build_model(recognition(tmp_path, f"model.freeze={names}", "model.head.class_num=3"))
    assert message in str(caught.value)


# networks beside the network


class Distill(nn.Layer):
    """A loss with a frozen teacher, as CONTRIBUTING.md shows."""

    def __init__(self, teacher: Annotated[nn.Layer, Kind("network", "FrozenModel")], weight: float = 1.0):
        super().__init__()
        self.teacher, self.weight = teacher, weight

    def forward(self, outputs, batch):
        one, other = (nn.functional.normalize(x) for x in (outputs["embedding"], self.teacher(batch["image"])["embedding"]))
        return {"distill": self.weight * ((one - other) ** 2).sum(axis=1).mean()}


@pytest.fixture
def teachers(tmp_path, monkeypatch):
    """Two weight files of the quickstart's network, and the loss in the registry."""
    monkeypatch.setitem(_components["loss"], "Distill", Distill)
    for seed in (1, 2):
        paddle.seed(seed)
        model = build_model(recognition(tmp_path, "model.head.class_num=3"))
        save_file({name: value.numpy() for name, value in model.state_dict().items()}, tmp_path / f"teacher{seed}.safetensors")
    return tmp_path


def distilled(tmp_path, teacher, folder, *overrides):
    quickstart = ROOT / "configs" / "quickstart" / "recognition.yml"
    source = f"{{source: {quickstart}, weights: {tmp_path / teacher}, overrides: [model.head.class_num=3]}}"
    config = recognition(tmp_path, f"loss=[{{name: CELoss}}, {{name: Distill, teacher: {source}}}]", *overrides)
    world = run.World("cpu", config["seed"])
    loader = run.open_data(config, world)
    (tmp_path / folder).mkdir(exist_ok=True)
    return run.assemble(config, world, tmp_path / folder, build_model(config), loader, {})


def test_a_teacher_is_neither_trained_nor_saved_and_another_one_is_refused(teachers):
    one = distilled(teachers, "teacher1.safetensors", "run", "trainer.iterations=2")
    inner = one.train_step.loss[1].teacher._model[0]
    before = {name: value.numpy().copy() for name, value in inner.state_dict().items()}
    one.train()
    for name, value in inner.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    assert not inner.training
    tensors, state = checkpoint.read(CheckpointFolder(teachers / "run" / "checkpoints").find("last"))
    assert "loss.safetensors" not in tensors and not any("teacher" in name for arrays in tensors.values() for name in arrays)
    assert state["frozen"]["loss.1.teacher"]["source"] == str(teachers / "teacher1.safetensors")
    again = distilled(teachers, "teacher1.safetensors", "run")
    again.resume(again.checkpoints)
    other = distilled(teachers, "teacher2.safetensors", "run")
    with pytest.raises(WeightsError) as caught:
        other.resume(other.checkpoints)
    assert "loss.1.teacher: expected the frozen network " in str(caught.value) and "teacher2.safetensors (SHA-256 " in str(caught.value)


class Gallery(nn.Layer):
    """A head with a classifier and a moving copy of the backbone that only training uses."""

    takes = ("label", "quality")
    training_only = False

    def __init__(
        self, in_channels: Annotated[list[int], Supplied("by the model")], backbone: Annotated[nn.Layer, Supplied("by the model")]
    ):
        super().__init__()
        import copy

        self.linear = nn.Linear(in_channels[0], 4)
        self.classifier = nn.Linear(4, 3)
        self.gallery = copy.deepcopy(backbone)
        for parameter in self.gallery.parameters():
            parameter.stop_gradient = True
        self.classifier.training_only = self.gallery.training_only = True
        self.backbone = (backbone,)

    def forward(self, features, label=None, quality=None):
        embedding = self.linear(features)
        if label is None:
            return {"embedding": embedding}
        self.quality = quality
        with paddle.no_grad():
            for own, now in zip(self.gallery.parameters(), self.backbone[0].parameters(), strict=True):
                own.set_value(0.9 * own + 0.1 * now)
        return {"embedding": embedding, "logits": self.classifier(embedding)}


class Flat(nn.Layer):
    any_size = False

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.out_channels = nn.Linear(48, 6), nn.BatchNorm1D(6), [6]

    def forward(self, x):
        return self.norm(self.linear(x.flatten(1)))


def gallery_model():
    paddle.seed(0)
    return FaceModel(Input((4, 4), [127.5] * 3, [127.5] * 3), Flat(), lambda in_channels, backbone: Gallery(in_channels, backbone))


def test_parts_for_training_alone_are_in_no_export_and_in_no_weight_file_that_must_be_complete(tmp_path):
    from ppface.engine import export
    from ppface.predict.exported import Exported

    model = gallery_model()
    image = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4)).astype("uint8")
    batch = {"image": paddle.to_tensor(image), "label": paddle.to_tensor([0, 1, 2, 0, 1]), "quality": paddle.ones([5])}
    step(model, lambda outputs, batch: {"ce": nn.functional.cross_entropy(outputs["logits"], batch["label"])})(batch)
    assert model.head.quality is batch["quality"]
    names = set(model.state_dict())
    assert {"head.gallery.linear.weight", "head.classifier.weight"} <= names and not any(name.startswith("head.backbone") for name in names)
    needed = {name: value.numpy() for name, value in model.state_dict().items() if "gallery" not in name and "classifier" not in name}
    save_file(needed, tmp_path / "needed.safetensors")
    fresh = gallery_model()
    assert len(load_weights(fresh, tmp_path / "needed.safetensors").matched) == len(needed)
    fresh.eval()
    (tmp_path / "export").mkdir()
    export.write(fresh, tmp_path / "export", {})
    size = sum(array.nbytes for array in needed.values())
    assert (tmp_path / "export" / "model.pdiparams").stat().st_size < size + 2000
    want = fresh.predictor()({"image": image})
    got = Exported(tmp_path / "export")({"image": image})
    assert set(want) == set(got) == {"embedding"}
    np.testing.assert_allclose(got["embedding"], want["embedding"], atol=1e-5)


def test_bgr_swaps_the_channels_after_normalisation_also_in_the_export(tmp_path, toy_embedder):
    from ppface.engine import export
    from ppface.predict.exported import Exported

    image = paddle.to_tensor(np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).astype("uint8"))
    mean, std = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    rgb, bgr = Input((4, 4), mean, std)(image).numpy(), Input((4, 4), mean, std, order="BGR")(image).numpy()
    np.testing.assert_array_equal(bgr, rgb[:, ::-1])
    model = FaceModel(Input((16, 16), mean, std, order="BGR"), toy_embedder.backbone, lambda in_channels: toy_embedder.head)
    model.eval()
    (tmp_path / "export").mkdir()
    export.write(model, tmp_path / "export", {})
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16)).astype("uint8")
    want, got = model.predictor()({"image": pixels}), Exported(tmp_path / "export")({"image": pixels})
    np.testing.assert_allclose(got["embedding"], want["embedding"], rtol=1e-4, atol=1e-4)


def test_an_average_and_a_prediction_hold_no_loss(tmp_path):
    one = made(tmp_path, losses=(cross_entropy, lambda outputs, batch: CenterLoss(2, 2)({"embedding": outputs["logits"]}, batch)), ema=0.9)
    one.train()
    assert set(files(tmp_path)["ema.safetensors"]) == set(files(tmp_path)["weights.safetensors"])
