"""Time of SSDLoss relative to its training step: 8 images of 640x640, 22,400 anchors, 500 faces each.

    python tests/benchmarks/ssd_loss.py

Both times are forward and backward in one process with one thread, the best of several runs; the ratio is loss / step.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import paddle

from ppface.losses import SSDLoss
from ppface.nets.backbones import BlazeNet
from ppface.nets.heads import FaceHead
from ppface.nets.model import FaceModel, Input

IMAGES, FACES, SIZE = 8, 500, 640


def best(function, times: int) -> float:
    """Seconds of the fastest call."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    rng = np.random.default_rng(0)
    model = FaceModel(
        Input((SIZE, SIZE), [123, 117, 104], [127.502231] * 3),
        BlazeNet(
            [[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]],
            [[48, 24, 96, 2], [96, 24, 96], [96, 24, 96], [96, 24, 96, 2], [96, 24, 96], [96, 24, 96]],
        ),
        partial(FaceHead, min_sizes=[[16, 24], [32, 48, 64, 80, 96, 128]], steps=[8, 16]),
    )
    loss = SSDLoss()
    side = np.exp(rng.uniform(np.log(4), np.log(400), (IMAGES, FACES, 1))) * rng.uniform(0.8, 1.25, (IMAGES, FACES, 2))
    centre = rng.uniform(0, SIZE, (IMAGES, FACES, 2))
    batch = {
        "image": paddle.to_tensor(rng.integers(0, 256, (IMAGES, 3, SIZE, SIZE), dtype=np.uint8)),
        "gt_boxes": paddle.to_tensor(np.concatenate([centre - side / 2, centre + side / 2], axis=-1).astype("float32")),
        "gt_count": paddle.full([IMAGES], FACES, "int64"),
    }
    outputs = {key: value.detach() for key, value in model(batch).items()}
    outputs["boxes"].stop_gradient = outputs["logits"].stop_gradient = False

    step = best(lambda: sum(loss(model(batch), batch).values()).backward(), 3)
    alone = best(lambda: sum(loss(outputs, batch).values()).backward(), 10)
    print(f"training step {step:.2f} s, of which SSDLoss {alone * 1000:.0f} ms: ratio {alone / step:.4f} (target: at most 0.10)")


if __name__ == "__main__":
    main()
