"""Every head and loss of recognition on the same drawn people: accuracy on unseen people, and the time of a training step, on one core.

    python tests/benchmarks/heads.py [SYSTEM ...]

A small convolutional network learns 160 drawn people of 16 pictures of 48x48 pixels from random weights: the same 250 batches of 8 people
with 4 pictures each, the same learning rate and the same first weights for every system, with two seeds. Tested on 2,000 pairs of 100 other
people. The tables of L-Softmax and SphereFace, whose lambda follows the step, are shortened from the published number of steps to these.

Prints one row a system: the mean accuracy of both seeds, half the width of its 95 % interval over the pairs (Wilson), the accuracy of each
seed, the area under the ROC curve, and the CPU time of a step, the median of all. With so short a training no order of the systems on real
faces follows from it. About 12 minutes of CPU time.
"""

import os
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import ppface  # noqa: F401  before Paddle: it chooses MKL's kernels

# isort: split
import paddle
from paddle import nn

from ppface import losses as losses_of
from ppface.data import IdentityBatches, SyntheticIdentities
from ppface.data.pairs import DrawnPairs
from ppface.engine.step import Step
from ppface.evaluators import verification
from ppface.nets import heads
from ppface.nets.layers import ConvBN
from ppface.nets.model import FaceModel, Input
from ppface.optim import Cosine, Momentum

STEPS, SEEDS, SIZE, EMBEDDING = 250, 2, 48, 64
CE = ("CELoss", {})
SYSTEMS = {  # name -> the head with its arguments, losses with theirs; s is 32 for all margins, as often for few people
    "Softmax": ("Softmax", {}, [CE]),
    "NormFace": ("NormFace", {"s": 32}, [CE]),
    "L-Softmax": ("LargeMargin", {"gamma": 2.5e-5 * 20_000 / STEPS}, [CE]),
    "SphereFace": ("SphereMargin", {"gamma": 0.12 * 28_000 / STEPS}, [CE]),
    "AM-Softmax, CosFace": ("CosMargin", {"s": 32, "m": 0.35}, [CE]),
    "ArcFace": ("ArcMargin", {"s": 32}, [CE]),
    "ArcFace, Partial FC 0.3": ("ArcMargin", {"s": 32, "sample_ratio": 0.3}, [CE]),
    "combined margin": ("CombinedMargin", {"s": 32, "m1": 1.0, "m2": 0.3, "m3": 0.2}, [CE]),
    "AdaFace": ("AdaMargin", {"s": 32}, [CE]),
    "MagFace": ("MagMargin", {"s": 32, "l_a": 2, "u_a": 20}, [CE, ("MagnitudeLoss", {"weight": 20, "u_a": 20})]),
    "CurricularFace": ("CurricularMargin", {"s": 32}, [CE]),
    "Circle, classes": ("CircleMargin", {"gamma": 64}, [CE]),
    "Circle, pairs of a batch": ("NormFace", {}, [("CircleLoss", {"m": 0.4, "gamma": 80, "form": "batch"})]),
    "Circle, pairs of an anchor": ("NormFace", {}, [("CircleLoss", {"m": 0.4, "gamma": 80, "form": "anchor"})]),
    "Softmax + center": ("Softmax", {}, [CE, ("CenterLoss", {"embedding_size": EMBEDDING, "class_num": 160})]),
    "ArcFace + Circle, anchor": ("ArcMargin", {"s": 32}, [CE, ("CircleLoss", {"m": 0.4, "gamma": 80, "form": "anchor", "weight": 0.1})]),
}


class Small(nn.Layer):
    """Four convolutions of stride 2 and a linear layer."""

    def __init__(self):
        super().__init__()
        widths = [3, 32, 64, 96, 128]
        units = [nn.Sequential(ConvBN(before, width, 3, 2), nn.ReLU()) for before, width in pairwise(widths)]
        self.units, self.linear = nn.Sequential(*units), nn.Linear(128 * (SIZE // 16) ** 2, EMBEDDING)
        self.norm, self.out_channels = nn.BatchNorm1D(EMBEDDING), [EMBEDDING]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.linear(self.units(x).flatten(1)))


def pixels(dataset: SyntheticIdentities) -> np.ndarray:
    """(N, 3, SIZE, SIZE) uint8."""
    return np.stack([dataset[i]["picture"].decode().transpose(2, 0, 1) for i in range(len(dataset))])


def build(system: tuple, seed: int) -> Step:
    name, arguments, parts = system
    paddle.seed(seed)
    backbone = Small()  # first: with the same weights for every head
    head = lambda in_channels: getattr(heads, name)(EMBEDDING, 160, in_channels=in_channels, **arguments)  # noqa: E731
    model = FaceModel(Input((SIZE, SIZE), [127.5] * 3, [127.5] * 3), backbone, head)
    return Step(model, [getattr(losses_of, part)(**options) for part, options in parts])


def train(step: Step, images: np.ndarray, labels: np.ndarray, batches: np.ndarray, seed: int) -> float:
    """The median CPU time of a step in seconds."""
    rate = Cosine(base=0.1, total_steps=STEPS, warmup_steps=30)
    optimizer = Momentum(step.learned(), 1, STEPS, lambda **_: rate, weight_decay=5e-4)
    rng, taken = np.random.default_rng(seed), []
    for chosen in batches:
        part = images[chosen]
        mirrored = rng.random(len(part)) < 0.5
        part[mirrored] = part[mirrored][..., ::-1]
        batch = {"image": paddle.to_tensor(part), "label": paddle.to_tensor(labels[chosen])}
        start = time.process_time()
        sum(step(batch).values()).backward()
        optimizer.step()
        optimizer.clear_grad()
        rate.step()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> None:
    people = SyntheticIdentities(160, 16, (SIZE, SIZE), seed=0, difficulty=0.3)
    others = SyntheticIdentities(100, 8, (SIZE, SIZE), seed=1, difficulty=0.3)
    pairs, sampler = DrawnPairs(others, 2000), IdentityBatches(8, 4)
    images, labels, tested = pixels(people), np.asarray(people.labels), pixels(others)[pairs.pictures]
    print("| system | accuracy | seeds | AUC | ms a step |\n|---|---|---|---|---|")
    for name in sys.argv[1:] or SYSTEMS:
        found, times = [], []
        for seed in range(SEEDS):
            order = np.concatenate([sampler.order(people, seed, epoch) for epoch in range(1 + STEPS * 32 // len(people))])
            step = build(SYSTEMS[name], seed)
            times.append(train(step, images, labels, order[: STEPS * 32].reshape(STEPS, 32), seed))
            predict = step.model.predictor()
            rows = np.concatenate([predict({"image": tested[i : i + 64]})["embedding"] for i in range(0, len(tested), 64)])
            found.append(verification.evaluate(rows[pairs.first], rows[pairs.second], pairs.issame))
        accuracy = statistics.mean(one["accuracy"] for one in found)
        width = statistics.mean((one["accuracy_ci95"][1] - one["accuracy_ci95"][0]) / 2 for one in found)
        each = ", ".join(f"{one['accuracy']:.3f}" for one in found)
        area = statistics.mean(one["auc"] for one in found)
        print(f"| {name} | {accuracy:.3f} ± {width:.3f} | {each} | {area:.3f} | {statistics.mean(times) * 1e3:.0f} |", flush=True)


if __name__ == "__main__":
    main()
