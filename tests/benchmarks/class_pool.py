"""One training step with a DynamicClassPool (MobileFaceNet, 512-d, 24 pictures of 112x112) at 100,000 and 1,000,000 identities.

    python tests/benchmarks/class_pool.py

One thread, the fastest of several steps by CPU time, a full pool, one process per case. First the same pool of 10,000 slots for both
numbers of identities, then other pools for a million: the memory follows the slots. Memory is the growth of the process's peak memory
from before the model was made.
"""

import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = ((100_000, 10_000), (1_000_000, 10_000), (1_000_000, 1_000), (1_000_000, 40_000))  # identities, slots
BATCH, SIZE, STEPS = 24, 512, 4


def measured(people: int, slots: int) -> tuple[float, float]:
    """(seconds per step, megabytes)."""
    import numpy as np
    import paddle

    from ppface.engine.step import Step
    from ppface.losses import ClassPoolLoss
    from ppface.nets.backbones import MobileFaceNet
    from ppface.nets.heads import DynamicClassPool
    from ppface.nets.model import FaceModel, Input
    from ppface.ops.lru_slots import empty_slots, enter
    from ppface.optim import Momentum

    paddle.seed(0)
    rng = np.random.default_rng(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = partial(DynamicClassPool, embedding_size=SIZE, class_num=people, slots=slots)
    model = FaceModel(Input((112, 112), [127.5] * 3, [127.5] * 3), MobileFaceNet(SIZE), head)
    model.head.slots.set_value(enter(empty_slots(slots), rng.choice(people, slots, replace=False))[0])
    step = Step(model, [ClassPoolLoss()])
    optimizer = Momentum(step.learned(), 1, 1, 0.01, weight_decay=1e-4)
    taken = []
    for _ in range(STEPS):
        half = rng.choice(people, BATCH // 2, replace=False)
        label = np.concatenate([half, half[: BATCH // 3], rng.choice(people, BATCH // 2 - BATCH // 3)])
        batch = {"image": paddle.randint(0, 256, [BATCH, 3, 112, 112]).astype("uint8"), "label": paddle.to_tensor(label)}
        start = time.process_time()
        sum(step(batch).values()).backward()
        optimizer.step()
        optimizer.clear_grad()
        taken.append(time.process_time() - start)
    return min(taken[1:]), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    found = {}
    for case in CASES:
        command = [sys.executable, "-W", "ignore", __file__, "--one", *map(str, case)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        found[case] = tuple(float(word) for word in done.stdout.split())
        print("{:>9,} identities, {:>6,} slots: {:.3f} s a step, {:,.0f} MB".format(*case, *found[case]), flush=True)
    (time_100k, memory_100k), (time_1m, memory_1m), (_, memory_small), (_, memory_large) = (found[case] for case in CASES)
    print(f"1,000,000 against 100,000 identities, 10,000 slots: time {time_1m / time_100k:.3f}, memory {memory_1m / memory_100k:.3f}")
    print(f"memory a slot: {(memory_large - memory_small) * 2**20 / 39_000:,.0f} bytes, of which planes {2 * 4 * SIZE:,}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.path.insert(0, str(ROOT))
        print(*measured(int(sys.argv[2]), int(sys.argv[3])))
    else:
        main()
