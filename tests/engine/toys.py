"""A model, a data set and a loss small enough to follow, and a trainer of them."""

from pathlib import Path

import numpy as np
import paddle

from ppface.core.errors import DataError
from ppface.data.loading.loader import Loader
from ppface.data.pictures.picture import Picture
from ppface.engine import checkpoint
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.step import Step
from ppface.engine.trainer import Trainer
from ppface.engine.world import World
from ppface.optim import Momentum


class Line(paddle.nn.Layer):
    """One linear layer with dropout: enough for weights, buffers and randomness."""

    def __init__(self):
        super().__init__()
        self.linear = paddle.nn.Linear(12, 2)
        self.norm = paddle.nn.BatchNorm1D(2)
        self.drop = paddle.nn.Dropout(0.5)

    def forward(self, batch):
        x = batch["image"].astype("float32").reshape([-1, 12]) / 255
        return {"logits": self.norm(self.linear(self.drop(x)))}

    def predictor(self):
        return self


class Pixels:
    """Sixteen pictures of four pixels; number `broken` cannot be read."""

    def __init__(self, broken=()):
        self.broken = broken

    def __len__(self):
        return 16

    def name(self, i):
        return f"pixel-{i}"

    def __getitem__(self, i):
        if i in self.broken:
            raise DataError(f"pixel-{i}: broken picture: torn")
        return {"picture": Picture.of(np.full((2, 2, 3), i * 15, "uint8"), self.name(i)), "label": i % 2}


def cross_entropy(outputs, batch):
    return {"ce": paddle.nn.functional.cross_entropy(outputs["logits"], batch["label"])}


class Loss(paddle.nn.Layer):
    """A plain function (outputs, batch) -> losses as the layer that a step expects."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, outputs, batch):
        return self.function(outputs, batch)


def step(model, *functions) -> Step:
    """A model with cross entropy, or with other losses: functions or layers."""
    losses = functions or (cross_entropy,)
    return Step(model, [loss if isinstance(loss, paddle.nn.Layer) else Loss(loss) for loss in losses])


def trainer(folder, optimizer=None, loss=cross_entropy, evaluators=(), dataset=None, **options) -> Trainer:
    paddle.seed(0)
    Path(folder).mkdir(exist_ok=True)
    loader = Loader(dataset or Pixels(), [], batch_size=4, seed=3, rank=0, world=1)
    options = {"iterations": 8, "log_every": 2, "eval_every": 0, "save_every": 0} | options
    make = optimizer or (lambda **supplied: Momentum(learning_rate=0.1, **supplied))
    return Trainer(
        step(Line(), *(loss if isinstance(loss, list) else [loss])),
        make,
        loader,
        list(evaluators),
        World("cpu"),
        Path(folder),
        0,
        **{"epochs": None} | options,
    )


def files(folder) -> dict:
    return checkpoint.read(CheckpointFolder(Path(folder) / "checkpoints").find("last"))[0]
