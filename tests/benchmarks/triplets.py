"""Times batch-all triplets of 128 images beside a step of MobileFaceNet with as many pictures of 112x112.

python tests/benchmarks/triplets.py
"""

import time

import numpy as np
import paddle

from ppface.losses import TripletLoss
from ppface.nets.backbones import MobileFaceNet

IMAGES, PEOPLE, RUNS = 128, 32, 3


def seconds(step) -> float:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    network, label = MobileFaceNet(128), paddle.to_tensor(np.arange(IMAGES) % PEOPLE)
    pictures = paddle.to_tensor(rng.normal(size=(IMAGES, 3, 112, 112)).astype("float32"))
    embedding = paddle.to_tensor(rng.normal(size=(IMAGES, 128)).astype("float32"), stop_gradient=False)
    whole = seconds(lambda: network(pictures)[0].sum().backward())
    for mining in ("batch_all", "batch_hard", "semi_hard"):
        loss = TripletLoss(mining=mining)
        alone = seconds(lambda loss=loss: loss({"embedding": embedding}, {"label": label})["triplet"].backward())
        print(f"{mining}: {1000 * alone:.1f} ms, {100 * alone / whole:.2f} % of the network's {whole:.2f} s")


if __name__ == "__main__":
    main()
