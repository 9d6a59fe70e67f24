"""Not a test: one process of test_pool_ranks.py. Trains with a class pool on its share of each batch and writes what came of it."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import paddle

from ppface.engine import checkpoint
from ppface.engine.step import Step
from ppface.engine.world import World
from ppface.losses import ClassPoolLoss
from ppface.nets.heads import DynamicClassPool
from ppface.nets.model import FaceModel, Input
from ppface.ops import process_group
from ppface.optim import Momentum

N, D, K, PEOPLE = 12, 4, 8, 14


class Flat(paddle.nn.Layer):
    any_size, input_size, out_channels = False, (2, 2), [D]

    def __init__(self):
        super().__init__()
        self.linear = paddle.nn.Linear(12, D)

    def forward(self, x):
        return self.linear(x.flatten(1))


def main(folder: Path) -> None:
    world = World("cpu")
    paddle.seed(0)
    head = partial(DynamicClassPool, embedding_size=D, class_num=PEOPLE, slots=K, decay=0.7)
    model = FaceModel(Input((2, 2), [99.0] * 3, [50.0] * 3), Flat(), head)
    step = Step(model, [ClassPoolLoss()])
    network, optimizer = world.wrap(step), Momentum(step.learned(), 1, 1, 0.05)
    found = {}
    for number in range(4):
        rng = np.random.default_rng(number)
        pixels, label = rng.integers(0, 256, (N, 3, 2, 2)).astype("uint8"), rng.integers(0, PEOPLE, N)
        if number == 2:  # the probes of one process are all outliers in pass 1
            label[:] = [0, 13, 1, 13, 2, 13, 0, 1, 2, 3, 4, 5]
        batch = {"image": paddle.to_tensor(pixels[world.rank :: world.size]), "label": paddle.to_tensor(label[world.rank :: world.size])}
        losses = network(batch)
        sum(losses.values()).backward()
        found |= {f"{name}{number}": np.array(world.mean({name: float(value)})[name]) for name, value in losses.items()}
        optimizer.step()
        optimizer.clear_grad()
        for part in ("planes", "slots"):
            mine = getattr(model.head, part)
            others = process_group.gathered(mine.unsqueeze(0)) if world.size > 1 else mine.unsqueeze(0)
            found[f"{part}{number}"] = others.numpy()
    for file, arrays in checkpoint.remember(step, optimizer, None).items():
        found |= {f"{file}:{key}": value for key, value in arrays.items()}
    if world.rank == 0:
        np.savez(folder / "found.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
