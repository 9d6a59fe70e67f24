"""Runs for test_resume.py, in one process or, started as a command, in one of two: whole ones, and ones that go on from a checkpoint.

python tests/engine/resumes.py FOLDER     resumes what is in it, and leaves runs of its own (see `on_ranks`)
"""

import json
import shutil
import sys
from pathlib import Path

import paddle

from ppface.core.errors import DataError
from ppface.core.run import signals
from ppface.data.loading.loader import Loader
from ppface.data.loading.offline_triplets import OfflineTriplets
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.step import Step
from ppface.engine.trainer import Trainer
from ppface.engine.world import PeerError, World
from ppface.losses import CELoss
from ppface.nets.heads import AdaMargin
from ppface.optim import Adam, Cosine
from tests.engine.faces import CLASSES, Faces, Shade

TIMES = ("time", "images_per_s", "data_wait")
STEPS = 12


class Recognizer(paddle.nn.Layer):
    """Pixels -> embedding -> margins: weights, statistics of batches, dropout and the head's own buffers."""

    def __init__(self, statistics: bool, **head):
        super().__init__()
        self.linear = paddle.nn.Linear(12, 6)
        self.norm = paddle.nn.BatchNorm1D(6) if statistics else paddle.nn.Identity()
        self.drop = paddle.nn.Dropout(0.2 if statistics else 0.0)
        self.head = AdaMargin(6, CLASSES, h=2.0, t_alpha=0.3, s=8.0, **head)

    def embed(self, image):
        return self.norm(self.linear(self.drop(image.astype("float32").reshape([-1, 12]) / 255)))

    def forward(self, batch):
        embedding = self.embed(batch["image"])
        return self.head.outputs(embedding, batch["label"]) | {"embedding": embedding}

    def predictor(self):
        def predict(arrays):
            self.eval()
            embedding = self.embed(paddle.to_tensor(arrays["image"])).numpy()
            self.train()
            return {"embedding": embedding}

        return predict


KINDS = {  # name -> (whether batch norm and dropout, the head's options)
    "replicated": (False, {"class_parallel": False}),
    "spread": (False, {"class_parallel": True}),
    "sampled": (True, {"sample_ratio": 0.8}),
    "selected": (True, {"class_parallel": False}),
}
SELECTED = {"batch_size": 6, "sampler": OfflineTriplets(identities=8, images=2, triplets=2, batches=5)}  # by the model itself


class StopsAt(paddle.nn.Layer):
    """A loss during whose computation for a step a signal arrives."""

    def __init__(self, step: int | None, loss):
        super().__init__()
        self.step, self.loss, self.trainer = step, loss, None

    def forward(self, outputs, batch):
        if self.trainer is not None and self.trainer.step + 1 == self.step:
            signals._State.received = 15
        return self.loss(outputs, batch)


def trainer(folder: Path, kind: str, world: World | None = None, at: int | None = None, workers: int = 0, **options) -> Trainer:
    """A run of twelve steps, which stops in order in step `at`."""
    world = world or World("cpu")
    paddle.seed(world.rank)
    statistics, head = KINDS[kind]
    batches = SELECTED if kind == "selected" else {"batch_size": 4}
    loader = Loader(Faces(), [Shade()], seed=3, rank=world.rank, world=world.size, workers=workers, **batches)
    model = Recognizer(statistics, **head)
    loader.follow(model.predictor(), world.from_first)
    options = {"iterations": STEPS, "log_every": 5, "eval_every": 0, "save_every": 0, "ema": 0.9} | options

    def optimizer(**supplied):
        def rate(steps_per_epoch: int, total_steps: int):
            return Cosine(0.05, total_steps, warmup_steps=3)

        return Adam(learning_rate=rate, **supplied)

    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(Step(model, [StopsAt(at, CELoss())]), optimizer, loader, [], world, folder, 5, **options)


def train(folder: Path, *arguments, **options) -> None:
    """Trains until the end or until it is stopped, from where the run in this folder is."""
    go_on(trainer(folder, *arguments, **options))


def go_on(made: Trainer) -> None:
    """The same for a trainer with a loss that is StopsAt."""
    loss = made.train_step.loss[0]
    loss.trainer = made
    if made.checkpoints.folder.is_dir():
        made.resume(made.checkpoints)
    try:
        made.train()
    except signals.Stopped:
        assert made.step == loss.step
    finally:
        signals._State.received = None


def outcome(folder: Path) -> dict:
    """All that a run leaves: the last checkpoint's tensors as bytes, its state, and the lines of the log, without times."""
    last = CheckpointFolder(folder / "checkpoints").find("last")
    state = json.loads((last / "state.json").read_text())
    left = {file.name: file.read_bytes() for file in last.glob("*.safetensors")}
    left |= {key: state[key] for key in ("step", "epoch", "samples", "rng", "best", "ema_updates", "log_window")}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return left | {"log": [{key: value for key, value in line.items() if key not in TIMES} for line in lines]}


def part_of(run: Path, step: int, to: Path) -> Path:
    """A copy of a run as it was at a step, whose checkpoint it has."""
    (to / "checkpoints").mkdir(parents=True)
    shutil.copytree(run / "checkpoints" / f"step_{step:08d}", to / "checkpoints" / f"step_{step:08d}")
    shutil.copy(run / "log.jsonl", to)
    return to


def _all_fail_with_the_first(world: World, kind: type[Exception]) -> None:
    def work() -> str:
        raise kind("torn")

    expected = kind if kind is DataError or world.rank == 0 else PeerError
    try:
        world.from_first(work)
    except expected as error:
        assert "torn" in str(error) or "process 0 raised KeyError" in str(error)
    else:
        raise AssertionError("expected an error in every process")


def on_ranks(folder: Path) -> None:
    """In two processes: for each kind a whole run, `two`; one resumed in step 7, `two_two`; and one of one process resumed, `one_two`."""
    world = World("cpu")
    assert world.mean({"a": world.rank + 1.0, "b": 4.0}) == {"a": 1.5, "b": 4.0}
    assert world.from_first(lambda: f"of {world.rank}") == "of 0"
    for error in (DataError, KeyError):
        _all_fail_with_the_first(world, error)
    for kind in KINDS:
        here = folder / kind
        train(here / "two", kind, world, save_steps=7, keep=STEPS)
        for source, to in (("two", "two_two"), ("one", "one_two")):
            world.first_does(lambda source=source, to=to, here=here: bool(part_of(here / source, 7, here / to)))
            train(here / to, kind, world)


if __name__ == "__main__":
    on_ranks(Path(sys.argv[1]))
