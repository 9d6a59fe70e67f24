"""Forward and backward of the backbones on one core: with the kernels of ppface/ops/cpu, with Paddle's own operators, and of the same networks
in PyTorch, where it is installed, in the faster of its two memory layouts.

    python tests/benchmarks/training_step.py [ROUNDS]

Pixels enter as uint8 and are normalised. All variants run in turn in one process with one thread; the figure is the median of the rounds.
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np  # noqa: E402

CASES = {  # name -> (config, overrides, shape of the images)
    "BlazeFace 640x640": ("detection/blazeface_1000e.yml", [], (2, 3, 640, 640)),
    "BlazeFace 128x128": ("detection/blazeface_128.yml", [], (16, 3, 128, 128)),
    "MobileFaceNet": ("recognition/adaface_mobilefacenet_cfp.yml", ["model.head.class_num=10"], (16, 3, 112, 112)),
    "AdaFace IR-18": ("recognition/adaface_ir18_ms1mv3.yml", ["model.head.class_num=10"], (8, 3, 112, 112)),
    "AdaFace IR-50": ("recognition/adaface_ir50_ms1mv3.yml", ["model.head.class_num=10"], (4, 3, 112, 112)),
}


def ours(model, image: np.ndarray, kernels: bool):
    """One step of ppface."""
    import paddle

    from ppface.nets import model as input_layer
    from ppface.nets.layers import fast

    pixels = paddle.to_tensor(image)

    def step() -> None:
        fast.available = input_layer.available = lambda: kernels
        features = model.backbone(model.input(pixels))
        sum(x.mean() for x in (features if isinstance(features, list) else [features])).backward()
        model.clear_gradients()

    return step


def torchs(network, image: np.ndarray, layout: str):
    """One step of the same network in PyTorch."""
    import torch

    pixels = torch.from_numpy(image)
    kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    network = network.to(memory_format=kind)

    def step() -> None:
        features = network(((pixels.float() - 127.5) / 127.5).to(memory_format=kind))
        sum(x.mean() for x in (features if isinstance(features, list) else [features])).backward()
        network.zero_grad()

    return step


def seconds(step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    rounds = int((sys.argv[1:] or ["5"])[0])
    from ppface.core.config.spec import build_model, load_config

    torch = importlib.util.find_spec("torch") is not None
    if torch:
        import torch
        import torch_networks

        torch.set_num_threads(1)
    else:
        print("PyTorch is not installed: its side is left out")
    for name, (config, overrides, shape) in CASES.items():
        model = build_model(load_config(ROOT / "configs" / config, overrides))
        model.train()
        image = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
        steps = {"kernels": ours(model, image, True), "paddle": ours(model, image, False)}
        if torch:
            network = torch_networks.like(model.backbone)
            steps |= {layout: torchs(network, image, layout) for layout in ("channels_last", "contiguous")}
        for step in steps.values():
            step()
        times = {kind: [] for kind in steps}
        for _ in range(rounds):
            for kind, step in steps.items():
                times[kind].append(seconds(step))
        median = {kind: float(np.median(values)) for kind, values in times.items()}
        line = f"{name}: {1000 * median['kernels']:.0f} ms, {median['paddle'] / median['kernels']:.2f} times as fast as without kernels"
        if torch:
            faster = min(("channels_last", "contiguous"), key=median.__getitem__)
            line += f", {median[faster] / median['kernels']:.2f} times as fast as PyTorch ({faster})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
