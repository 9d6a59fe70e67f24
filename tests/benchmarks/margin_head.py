"""One step of a margin head (forward, backward, Momentum; batch 128, 512-d) with 10,000, 100,000 and 1,000,000 classes, sampled or not.

    python tests/benchmarks/margin_head.py [CLASSES ...]

One thread, the fastest of several steps by CPU time, one process per case; a million classes without sampling need 15 GB. The bytes per
class are those of weights and momentum, plus any other growth of the process's peak memory.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RATIOS = (1.0, 0.1, 0.01)
BATCH, SIZE = 128, 512


def step_time(classes: int, ratio: float) -> tuple[float, float]:
    """(seconds per step, bytes per class)."""
    import paddle

    from ppface.losses import CELoss
    from ppface.nets.heads import ArcMargin
    from ppface.optim import Momentum

    paddle.seed(0)
    embedding, label = paddle.randn([BATCH, SIZE]), paddle.randint(0, classes, [BATCH])
    embedding.stop_gradient = False
    loss = CELoss()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = ArcMargin(SIZE, classes, sample_ratio=ratio)
    optimizer = Momentum(head.parameters(), 1, 1, 0.1, weight_decay=5e-4)
    taken = []
    for _ in range(3 if classes * ratio > 200_000 else 6):
        start = time.process_time()
        outputs = head.outputs(embedding, label)
        loss(outputs, {"label": label})["ce"].backward()
        optimizer.step()
        optimizer.clear_grad()
        embedding.clear_grad()
        del outputs
        taken.append(time.process_time() - start)
    return min(taken[1:]), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / classes


def main() -> None:
    for classes in [int(word) for word in sys.argv[1:]] or (10_000, 100_000, 1_000_000):
        full = 0.0
        for ratio in RATIOS:
            command = [sys.executable, "-W", "ignore", __file__, "--one", str(classes), str(ratio)]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                print(f"{classes:>9,} classes, sample_ratio {ratio:<5}: failed (exit {done.returncode}, out of memory?)")
                continue
            seconds, memory = (float(word) for word in done.stdout.split())
            full, held = full or seconds, 2 * 4 * SIZE
            times = f"{seconds * 1e3:9.1f} ms, {full / seconds:6.1f} times faster, {held} + {memory - held:,.0f} bytes per class"
            print(f"{classes:>9,} classes, sample_ratio {ratio:<5}: {times}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.path.insert(0, str(ROOT))
        print(*step_time(int(sys.argv[2]), float(sys.argv[3])))
    else:
        main()
