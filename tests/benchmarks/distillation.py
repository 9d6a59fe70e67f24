"""Recursive angular distillation on drawn people: two generations of a small student of one teacher, and the student without it.

    python tests/benchmarks/distillation.py

The teacher, a convolutional network with about 20 times the multiplications of the student, learns 160 drawn people of 16 pictures of 48x48
pixels once. Then for each of three seeds the student learns them for the same 200 batches in four ways:

    alone            from random weights, cross entropy on a Softmax head
    generation 1     from the same random weights, with AngularDistillation (weight 7) beside it
    alone, again     from the weights of "alone", trained as that
    generation 2     from the weights of generation 1, trained as that

so that each generation is compared with a student that saw as many pictures as often. Tested on 4,000 pairs of 100 other people.

Prints for each the mean accuracy of the seeds, half the width of its 95 % interval over the pairs (Wilson), the accuracy of each seed and the
area under the ROC curve; then the gain of a generation over the student without a teacher, seed by seed. About 2.5 minutes of CPU time.
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

from ppface.data import IdentityBatches, SyntheticIdentities
from ppface.data.pairs import DrawnPairs
from ppface.engine.step import Step
from ppface.evaluators import verification
from ppface.losses import AngularDistillation, CELoss
from ppface.nets.heads import Softmax
from ppface.nets.layers import ConvBN
from ppface.nets.model import FaceModel, Input
from ppface.optim import Cosine, Momentum

SEEDS, SIZE, EMBEDDING, PEOPLE = 3, 48, 64, 160
STUDENT, TEACHER = [3, 8, 16, 32, 64], [3, 48, 96, 128, 192]  # channels; each convolution has stride 2
STEPS, TEACHER_STEPS, RATE = 200, 400, 0.1


class Small(nn.Layer):
    """Convolutions of stride 2 and a linear layer."""

    def __init__(self, widths: list[int]):
        super().__init__()
        units = [nn.Sequential(ConvBN(before, width, 3, 2), nn.ReLU()) for before, width in pairwise(widths)]
        self.units, self.linear = nn.Sequential(*units), nn.Linear(widths[-1] * (SIZE // 16) ** 2, EMBEDDING)
        self.norm, self.out_channels = nn.BatchNorm1D(EMBEDDING), [EMBEDDING]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.norm(self.linear(self.units(x).flatten(1)))


class Frozen(nn.Layer):
    """A trained model as FrozenModel shows one that lies in a file."""

    def __init__(self, model: FaceModel):
        super().__init__()
        model.eval()
        self._model = (model,)

    @paddle.no_grad()
    def forward(self, image: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return self._model[0]({"image": image})


def pixels(dataset: SyntheticIdentities) -> np.ndarray:
    """(N, 3, SIZE, SIZE) uint8."""
    return np.stack([dataset[i]["picture"].decode().transpose(2, 0, 1) for i in range(len(dataset))])


def build(widths: list[int], seed: int) -> FaceModel:
    paddle.seed(seed)
    head = lambda in_channels: Softmax(EMBEDDING, PEOPLE, in_channels)  # noqa: E731
    return FaceModel(Input((SIZE, SIZE), [127.5] * 3, [127.5] * 3), Small(widths), head)


def train(model: FaceModel, losses: list[nn.Layer], steps: int, people: SyntheticIdentities, images: np.ndarray, seed: int) -> FaceModel:
    step = Step(model, losses)
    step.train()
    rate = Cosine(base=RATE, total_steps=steps, warmup_steps=30)
    optimizer = Momentum(step.learned(), 1, steps, lambda **_: rate, weight_decay=5e-4)
    sampler, rng, labels = IdentityBatches(8, 4), np.random.default_rng(seed), np.asarray(people.labels)
    order = np.concatenate([sampler.order(people, seed, epoch) for epoch in range(1 + steps * 32 // len(people))])
    for chosen in order[: steps * 32].reshape(steps, 32):
        part = images[chosen]
        mirrored = rng.random(len(part)) < 0.5
        part[mirrored] = part[mirrored][..., ::-1]
        sum(step({"image": paddle.to_tensor(part), "label": paddle.to_tensor(labels[chosen])}).values()).backward()
        optimizer.step()
        optimizer.clear_grad()
        rate.step()
    return model


def copy_of(model: FaceModel) -> FaceModel:
    made = build(STUDENT, 0)
    made.set_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    return made


def measured(model: FaceModel, tested: np.ndarray, pairs: DrawnPairs) -> dict:
    predict = model.predictor()
    rows = np.concatenate([predict({"image": tested[i : i + 64]})["embedding"] for i in range(0, len(tested), 64)])
    return verification.evaluate(rows[pairs.first], rows[pairs.second], pairs.issame)


def row(name: str, found: list[dict]) -> None:
    accuracy = statistics.mean(one["accuracy"] for one in found)
    width = statistics.mean((one["accuracy_ci95"][1] - one["accuracy_ci95"][0]) / 2 for one in found)
    each = ", ".join(f"{one['accuracy']:.4f}" for one in found)
    print(f"| {name} | {accuracy:.4f} ± {width:.4f} | {each} | {statistics.mean(one['auc'] for one in found):.4f} |", flush=True)


def main() -> None:
    people = SyntheticIdentities(PEOPLE, 16, (SIZE, SIZE), seed=0, difficulty=0.3)
    others = SyntheticIdentities(100, 8, (SIZE, SIZE), seed=1, difficulty=0.3)
    pairs, images = DrawnPairs(others, 4000), pixels(people)
    tested = pixels(others)[pairs.pictures]
    print("| system | accuracy | seeds | AUC |\n|---|---|---|---|")
    teacher = train(build(TEACHER, 100), [CELoss()], TEACHER_STEPS, people, images, 100)
    row(f"teacher, {TEACHER_STEPS} steps", [measured(teacher, tested, pairs)])
    found: dict[str, list[dict]] = {"alone": [], "generation 1": [], "alone, again": [], "generation 2": []}
    distillation = [CELoss(), AngularDistillation(Frozen(teacher), weight=7)]
    for seed in range(SEEDS):
        for first, second, losses in (("alone", "alone, again", [CELoss()]), ("generation 1", "generation 2", distillation)):
            student = train(build(STUDENT, seed), losses, STEPS, people, images, seed)
            found[first].append(measured(student, tested, pairs))
            student = train(copy_of(student), losses, STEPS, people, images, seed + SEEDS)
            found[second].append(measured(student, tested, pairs))
    for name, values in found.items():
        row(name, values)
    for one, other in (("generation 1", "alone"), ("generation 2", "alone, again"), ("generation 2", "generation 1")):
        gains = [a["accuracy"] - b["accuracy"] for a, b in zip(found[one], found[other], strict=True)]
        print(f"{one} over {other}: {statistics.mean(gains):+.4f} ({', '.join(f'{gain:+.4f}' for gain in gains)})")
    print(f"{time.process_time():.0f} s of CPU time")


if __name__ == "__main__":
    main()
