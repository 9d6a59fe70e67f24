"""A run with the dense regression branch: trained, resumed and exported; data that do not fit end it before its first step."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppface import predict
from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import DataError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.engine import export, run
from ppface.engine.world import World
from tests.engine import resumes
from tests.engine.resumes import StopsAt, outcome

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "model.input.size=[64, 64]", "model.backbone.blaze_filters=[[4, 4], [4, 8, 2], [8, 8]]", "model.backbone.stem_kernel=3",
    "model.backbone.double_blaze_filters=[[8, 4, 8, 2], [8, 4, 8], [8, 4, 8, 2], [8, 4, 8]]", "train.batch_size=4",
    "train.dataset.length=8", "train.dataset.size=[64, 64]", "train.transforms=[{name: Flip}, {name: Resize, size: [64, 64]}]",
    "model.head.dense={embedding: 8, order: 2, size: 8, faces: 1, min_face: 16}", "evaluators=[]", "trainer.epochs=null",
    "trainer.iterations=4", "trainer.ema=0.9", "trainer.log_every=2",
]  # fmt: skip


def prepared(folder: Path, *options: str):
    config = load_config(ROOT / "configs" / "quickstart" / "dense.yml", [*SMALL, *options])
    world = World("cpu", config["seed"])
    loader = run.open_data(config, world)
    folder.mkdir(exist_ok=True)
    run.open_folder(folder, config, {})
    return run.assemble(config, world, folder, build_model(config), loader, {})


def go_on(folder: Path, at: int | None = None) -> None:
    made = prepared(folder)
    made.train_step.loss[0] = StopsAt(at, made.train_step.loss[0])
    resumes.go_on(made)


def test_a_resumed_run_ends_the_same_and_its_export_agrees(tmp_path):
    go_on(tmp_path / "whole")
    go_on(tmp_path / "parts", at=2)
    assert outcome(tmp_path / "parts")["step"] == 2
    go_on(tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")

    model = predict.load_model(tmp_path / "parts")
    fresh = build_model(load_config(tmp_path / "parts" / "config.yml"))
    changed = [name for name, value in fresh.state_dict().items() if (value.numpy() != model.state_dict()[name].numpy()).any()]
    assert any(name.startswith("head.dense.decoder") for name in changed)  # trained, and in the running average
    (tmp_path / "export").mkdir()
    export.write(model, tmp_path / "export", {})
    assert export.verify(model.predictor(), predict.load_predictor(tmp_path / "export"), 1e-3) < 1e-3
    assert predict.load_predictor(tmp_path / "export").outputs() == ["boxes", "count", "landmarks", "scores"]


@pytest.mark.parametrize("option", ["train.dataset.landmarks=0", "train.dataset.landmarks=6"])
def test_data_without_five_landmarks_end_the_run_before_its_first_step(tmp_path, option):
    made = prepared(tmp_path / "run", option)
    before = {
        name: value.numpy().copy() for name, value in made.model.state_dict().items() if "_mean" not in name and "_variance" not in name
    }
    with pytest.raises(DataError, match=r"DenseRegression: expected faces with 5 landmarks in gt_landmarks, received (none|6):"):
        made.train()
    assert made.step == 0 and not CheckpointFolder(tmp_path / "run" / "checkpoints", 1).folder.is_dir()
    for name, value in before.items():
        np.testing.assert_array_equal(made.model.state_dict()[name].numpy(), value)


def test_weights_without_the_branch_load_into_a_model_with_it(tmp_path):
    paddle.seed(1)
    plain = build_model(load_config(ROOT / "configs" / "quickstart" / "dense.yml", [*SMALL, "model.head.dense=null"]))
    dense = build_model(load_config(ROOT / "configs" / "quickstart" / "dense.yml", SMALL))
    from safetensors.numpy import save_file

    for model, other, name in ((plain, dense, "plain"), (dense, plain, "dense")):
        save_file({key: value.numpy() for key, value in model.state_dict().items()}, tmp_path / f"{name}.safetensors")
        predict.load_into(other, tmp_path / f"{name}.safetensors")
    for name, value in plain.state_dict().items():
        np.testing.assert_array_equal(dense.state_dict()[name].numpy(), value.numpy())
