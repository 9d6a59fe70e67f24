"""A run with AOFD: refused where the detector does not fit, resumed to the byte, exported as the detector without it."""

from pathlib import Path

import paddle
import pytest
from safetensors.numpy import load_file

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import ConfigError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.engine import export, run
from ppface.predict.exported import Exported

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "model.input.size=[64, 64]", "model.input.test={mode: stretch, size: [64, 64]}", "train.dataset.size=[64, 64]", "train.dataset.length=16",
    "model.backbone.blaze_filters=[[16, 16, 2]]", "model.backbone.double_blaze_filters=[[16, 8, 16, 2], [16, 8, 16, 2]]",
    "train.transforms=[{name: Flip}]", "train.batch_size=4", "processes=1", "evaluators=[]", "trainer.epochs=null", "trainer.iterations=4",
]  # fmt: skip


def assembled(folder, *overrides):
    config = load_config(ROOT / "configs" / "detection" / "aofd_drawn.yml", [*TINY, *overrides])
    world = run.World("cpu", config["seed"])
    loader = run.open_data(config, world)
    folder.mkdir(exist_ok=True)
    return run.assemble(config, world, folder, build_model(config), loader, {})


def test_a_detector_without_a_pyramid_is_refused_before_training(tmp_path):
    with pytest.raises(ConfigError) as caught:
        assembled(tmp_path, "model.neck=null")
    assert str(caught.value).endswith(
        ": loss: AOFDLoss: expected a detector with FaceHead and a neck whose levels have equally many channels (FPN, or BlazeNeck with "
        "neck_type only_fpn or fpn_ssh), received FaceHead and the neck none with out_channels=None"
    )


def test_a_run_resumes_to_the_byte_and_its_export_is_that_of_the_plain_detector(tmp_path):
    assembled(tmp_path / "whole", "trainer.save_steps=2").train()
    rest = assembled(tmp_path / "parts")
    rest.resume(tmp_path / "whole" / "checkpoints" / "step_00000002")
    rest.train()
    whole, parts = (CheckpointFolder(tmp_path / name / "checkpoints").find("last") for name in ("whole", "parts"))
    for file in ("weights", "loss", "optimizer", "ema"):
        assert (whole / f"{file}.safetensors").read_bytes() == (parts / f"{file}.safetensors").read_bytes(), file
    state = load_file(whole / "loss.safetensors")
    assert state["0.step"] == 4 and {"0.generator.conv.weight", "0.generator.norm._mean", "0.occlusion.weight"} <= state.keys()
    plain = load_config(ROOT / "configs" / "detection" / "aofd_drawn.yml", [*TINY, "loss={name: SSDLoss}"])
    model = build_model(plain)
    saved = load_file(whole / "weights.safetensors")
    assert saved.keys() == set(model.state_dict())  # nothing of the loss is in the weights
    model.set_state_dict({name: paddle.to_tensor(value) for name, value in saved.items()})
    export.write(rest.model, tmp_path, {})
    image = {"image": next(iter(rest.loader.stream(0, 1))).arrays["image"]}
    assert export.compare(model.predictor()(image), Exported(tmp_path)(image), 1e-3) < 1e-3
