"""Training images per second of MobileFaceNet and AdaFace_IR_18 at 112x112: the default training command against plain Paddle.

    python tests/benchmarks/recognition_step.py [ROUNDS]

Plain: one process with one thread per core, Paddle's own layers, default memory and MKL settings. Ours: one data-parallel process per core,
gradients averaged by gloo, the fast layers, freed memory kept. Both: forward, AdaMargin with 1,000 classes, backward, Momentum. Each is
started several times in turn; the best is reported. A second line compares ours with plain, one process with one thread each, and gives
the share of time that reading the data in the same process would take: JPEGs of aligned portraits with AdaFace's augmentations.
"""

import os
import subprocess
import sys
import tempfile
import time
import timeit
from functools import partial
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {"MobileFaceNet": 128, "AdaFace_IR_18": 512}
BATCH, STEPS = 16, 4


def rate(name: str, plain: bool) -> float:
    """Images per second over all processes."""
    from ppface.engine.world import World

    world = World("cpu")
    import paddle

    from ppface.losses import CELoss
    from ppface.nets import backbones
    from ppface.nets.heads import AdaMargin
    from ppface.nets.layers import fast
    from ppface.nets.model import FaceModel, Input
    from ppface.ops.cpu import compiler
    from ppface.optim import Momentum

    if plain:
        fast.eager_on_cpu = lambda x: False
        compiler.available = lambda: False
    size = NETWORKS[name]
    model = FaceModel(
        Input((112, 112), [127.5] * 3, [127.5] * 3),
        getattr(backbones, name)(embedding_size=size),
        lambda in_channels: AdaMargin(size, 1000, in_channels=in_channels),
    )
    network, loss = world.wrap(model), CELoss()
    optimizer = Momentum([p for p in model.parameters() if not p.stop_gradient], 1, 1, 0.01, weight_decay=5e-4)
    batch = {"image": paddle.randint(0, 256, [BATCH, 3, 112, 112]).astype("uint8"), "label": paddle.randint(0, 1000, [BATCH])}
    best = float("inf")
    for _ in range(STEPS):
        start = time.perf_counter()
        sum(loss(network(batch), batch).values()).backward()
        optimizer.step()
        optimizer.clear_grad()
        best = min(best, time.perf_counter() - start)
    return world.size * BATCH / best


def reading() -> float:
    """Images per second that one core reads and augments."""
    from ppface.data.loading.loader import Loader
    from ppface.data.recognition.identity_folder import IdentityFolder
    from ppface.data.synthetic.synthetic_identities import SyntheticIdentities
    from ppface.data.transforms import CropPad, Flip, LowResolution, Photometric

    drawn = SyntheticIdentities(identities=8, images=BATCH, size=(112, 112))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(len(drawn)):
            file = Path(folder, str(i % 8), f"{i}.jpg")
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(drawn[i]["picture"].decode()).save(file, quality=95)
        transforms = [CropPad(p=0.2), LowResolution(p=0.2), Photometric(p=0.2), Flip()]
        loader = Loader(IdentityFolder(folder), transforms, BATCH, seed=0, rank=0, world=1)
        return 64 * BATCH / timeit.timeit(partial(next, loader.stream(0, 64)), number=64)


def run(name: str, plain: bool, processes: int, threads: int) -> float:
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, str(plain)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT), "GLOG_minloglevel": "2"}
    if plain:  # disables ppface's memory setting by glibc's default, and its MKL setting
        environment |= {"MALLOC_ARENA_MAX": "64", "MKL_DEBUG_CPU_TYPE": ""}
    if processes > 1:
        launch = f"import sys; from ppface.engine.devices import launch; sys.exit(launch({command!r}, {processes}))"
        command = [sys.executable, "-W", "ignore", "-c", launch]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    rounds, cores = int((sys.argv[1:] or ["2"])[0]), len(os.sched_getaffinity(0))
    read = reading()
    for name in NETWORKS:
        cases = {"plain": (True, 1, cores), "ours": (False, cores, 1), "plain, one thread": (True, 1, 1), "ours, one thread": (False, 1, 1)}
        found = dict.fromkeys(cases, 0.0)
        for _ in range(rounds):
            for case, arguments in cases.items():
                found[case] = max(found[case], run(name, *arguments))
        for of in ("", ", one thread"):
            ours, plain = found[f"ours{of}"], found[f"plain{of}"]
            print(f"{name}{of}: {ours:.1f} images/s, plain {plain:.1f}: {ours / plain:.2f} times", flush=True)
        share = found["ours, one thread"] / (found["ours, one thread"] + read)
        print(f"{name}, one thread: {share:.1%} of its time for data; one core reads {read:.0f} images/s", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--one"]:
        print(rate(sys.argv[2], sys.argv[3] == "True"))
    else:
        main()
