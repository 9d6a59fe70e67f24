"""A run of PFE from the weights of a recognizer: only the head is trained, a resumed run ends the same, mean and variance are exported."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ppface import predict
from ppface.core.config.spec import build_model, load_config
from ppface.engine import export, run
from ppface.engine.world import World
from ppface.predict import load_start
from tests.engine import resumes
from tests.engine.resumes import StopsAt, outcome

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "model.input.size=[32, 32]", "model.backbone.input_size=[32, 32]", "model.backbone.embedding_size=8", "train.dataset.size=[32, 32]",
    "train.dataset.identities=4", "train.dataset.images=4", "train.batch_size=4", "train.sampler={name: IdentityBatches, identities: 2, images: 2}",
    "evaluators=[]", "trainer.epochs=null", "trainer.iterations=4", "trainer.log_every=2",
]  # fmt: skip


def go_on(folder: Path, start: Path, at: int | None = None) -> None:
    config = load_config(ROOT / "configs" / "quickstart" / "pfe.yml", [*SMALL, f"weights={start}"])
    world = World("cpu", config["seed"])
    loader = run.open_data(config, world)
    folder.mkdir(exist_ok=True)
    run.open_folder(folder, config, {})
    model = build_model(config)
    load_start(model, config)
    made = run.assemble(config, world, folder, model, loader, {})
    made.train_step.loss[0] = StopsAt(at, made.train_step.loss[0])
    resumes.go_on(made)


def test_only_the_head_is_trained_also_after_a_resume(tmp_path):
    start = tmp_path / "start.safetensors"
    recognizer = build_model(load_config(ROOT / "configs" / "quickstart" / "recognition.yml", [*SMALL[:3], "model.head.embedding_size=8"]))
    save_file({name: value.numpy() for name, value in recognizer.state_dict().items()}, start)
    go_on(tmp_path / "whole", start)
    go_on(tmp_path / "parts", start, at=2)
    go_on(tmp_path / "parts", start)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")

    model = predict.load_model(tmp_path / "parts")
    before, after = load_file(start), {name: value.numpy() for name, value in model.state_dict().items()}
    assert all(np.array_equal(after[name], before[name]) for name in after if name.startswith("backbone."))
    assert after["head.shift"] != -7
    (tmp_path / "export").mkdir()
    export.write(model, tmp_path / "export", {})
    exported = predict.load_predictor(tmp_path / "export", threads=1)
    assert export.verify(model.predictor(), exported, 1e-3) < 1e-3
    assert exported.outputs() == ["embedding", "norm", "quality", "variance"]
