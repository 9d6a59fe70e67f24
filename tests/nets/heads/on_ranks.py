"""Not a test: one process of test_ranks.py. Trains a linear layer and a head on its share of a batch and writes what came of it."""

import sys
from pathlib import Path

import numpy as np
import paddle
import paddle.distributed as dist

from ppface.engine import checkpoint
from ppface.engine.step import Step
from ppface.engine.world import World
from ppface.losses import CELoss, CircleLoss, DistributionDistillation, MagnitudeLoss, MLSLoss, TripletLoss
from ppface.nets.heads import AdaMargin, ArcMargin, CircleMargin, CurricularMargin, LargeMargin, MagMargin, NormFace, SphereMargin
from ppface.optim import Momentum

N, D, C = 8, 6, 11
HARD = np.array([False, False, True, True] * 2)
HEADS = {
    "ada": lambda world: AdaMargin(D, C, h=2.0, t_alpha=0.3, class_parallel=True),
    "ada_replicated": lambda world: AdaMargin(D, C, h=2.0, t_alpha=0.3, class_parallel=False),
    "arc": lambda world: ArcMargin(D, C, class_parallel=True),
    "circle": lambda world: CircleMargin(D, C, gamma=16, class_parallel=True),
    "curricular": lambda world: CurricularMargin(D, C, class_parallel=True),
    "curricular_replicated": lambda world: CurricularMargin(D, C, class_parallel=False),
    "large": lambda world: LargeMargin(D, C, base=2, gamma=1, power=1, class_parallel=True),
    "mag": lambda world: MagMargin(D, C, l_a=1, class_parallel=True),
    "sphere": lambda world: SphereMargin(D, C, base=2, lambda_min=0.5, class_parallel=True),
    "norm": lambda world: NormFace(D, C, s=8, learn_s=True, class_parallel=True),
    "norm_hard": lambda world: NormFace(D, C, s=8),
    "arc_sampled": lambda world: ArcMargin(D, C, sample_ratio=0.01),  # the batch's own classes alone: nothing is drawn
    "circle_sampled": lambda world: CircleMargin(D, C, gamma=16, sample_ratio=0.01),
}
LOSSES = {  # beside cross entropy
    "mag": [MagnitudeLoss()],
    "sphere": [MLSLoss(0.1)],
    "circle": [CircleLoss(gamma=16, form="batch", weight=0.1)],
    "circle_sampled": [CircleLoss(gamma=16, form="anchor", weight=0.1)],
    "arc": [TripletLoss(0.5, "batch_all")],
    "norm": [TripletLoss(0.5, "batch_hard", "euclidean")],
    "ada": [TripletLoss(0.5, "semi_hard")],
    "norm_hard": [DistributionDistillation()],
}


class Both(paddle.nn.Layer):
    def __init__(self, head):
        super().__init__()
        self.linear, self.head = paddle.nn.Linear(D, D), head

    def forward(self, batch):
        embedding = self.linear(batch["image"])
        return self.head.outputs(embedding, batch["label"]) | {"embedding": embedding, "variance": 1 + embedding**2}


def main(folder: Path) -> None:
    world = World("cpu")
    mine = slice(world.rank * N // world.size, (world.rank + 1) * N // world.size)
    for name, make in HEADS.items():
        rng = np.random.default_rng(1)
        model = Both(make(world))
        whole = {
            key: rng.normal(size=shape).astype("float32")
            for key, shape in (("linear.weight", (D, D)), ("linear.bias", (D,)), ("head.kernel", (D, C)))
        }
        state = model.state_dict()
        checkpoint.put({key: state[key] for key in whole}, whole, name)
        network = world.wrap(model)
        optimizer = Momentum([p for p in model.parameters() if not p.stop_gradient], 1, 1, 0.05, weight_decay=0.01)
        found = {}
        for step in range(3):
            x, y = rng.normal(size=(N, D)).astype("float32") * 5, rng.integers(0, C, N)
            if step == 1 and not name.endswith("_sampled"):  # a process without a class of the batch draws one
                y[:] = 1  # all on one process
            if name == "norm_hard":  # every pair of one person is on two processes
                x[4:], y[:] = x[:4] + 0.3 * x[4:], [1, 2, 1, 2] * 2
            batch = {"image": paddle.to_tensor(x[mine]), "label": paddle.to_tensor(y[mine]), "hard": paddle.to_tensor(HARD[mine])}
            outputs = network(batch)
            loss = sum(value for part in [CELoss(0.1), *LOSSES.get(name, [])] for value in part(outputs, batch).values())
            outputs["embedding"].retain_grads()
            loss.backward()
            parts = [loss.detach().reshape([1]), outputs["embedding"].grad / world.size]
            if world.size > 1:
                gathered = [[], []]
                for part, into in zip(parts, gathered, strict=True):
                    dist.all_gather(into, part)
                parts = [paddle.concat(into) for into in gathered]
            found[f"loss{step}"], found[f"embedding{step}"] = parts[0].mean().numpy(), parts[1].numpy()
            optimizer.step()
            optimizer.clear_grad()
        for file, arrays in checkpoint.remember(Step(model, []), optimizer, None).items():
            found |= {f"{file}:{key}": value for key, value in arrays.items()}
        if world.rank == 0:
            np.savez(folder / f"{name}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
