"""CPU time of forward and backward of a network on one core: our kernels against Paddle's operators, and against torch eager.

    python tests/benchmarks/training_step.py [ROUNDS] [TORCH_PYTHON] [NETWORK ...]

A process for each of the three, which take steps in turn; the figure is the fastest step of each by CPU time. Plain: ppface with everything that
Numba compiles switched off. Torch: the same networks in the faster of its two memory layouts, contiguous and channels_last, under
TORCH_PYTHON (this interpreter where it is not given); skipped where that has no torch. Source of torch's side: the classes below.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SINGLE = [[24, 24], [24, 24], [24, 48, 2], [48, 48], [48, 48]]
DOUBLE = [[48, 24, 96, 2], [96, 24, 96], [96, 24, 96], [96, 24, 96, 2], [96, 24, 96], [96, 24, 96]]
SHAPES = {
    "BlazeFace 640": (2, 3, 640, 640),
    "BlazeFace 128": (16, 3, 128, 128),
    "RetinaFace 640": (2, 3, 640, 640),
    "MobileFaceNet": (16, 3, 112, 112),
    "AdaFace_IR_18": (8, 3, 112, 112),
    "AdaFace_IR_50": (8, 3, 112, 112),
}


def ours(name: str, plain: bool) -> Callable[[], None]:
    """A step of ppface's network: the backbone; of RetinaFace all, from pixels to the raw boxes, scores and landmarks."""
    from ppface.core.run.cpu import keep_freed_memory, prefer_fast_mkl

    prefer_fast_mkl()
    keep_freed_memory()
    import paddle

    from ppface.core.config.spec import build_model, load_config
    from ppface.nets import backbones
    from ppface.ops.cpu import compiler

    if plain:
        compiler.available = lambda: False
    image = paddle.randn(SHAPES[name])
    if name.startswith("Blaze"):
        model = backbones.BlazeNet(SINGLE, DOUBLE, stem_kernel=5 if "128" in name else 3)
        forward = lambda: model(image)  # noqa: E731
    elif name.startswith("Retina"):
        model = build_model(load_config(ROOT / "configs" / "detection" / "retinaface_mobilenet025.yml"))
        pixels = {"image": paddle.randint(0, 256, SHAPES[name]).astype("uint8")}
        forward = lambda: [value for key, value in model(pixels).items() if key in ("boxes", "logits", "landmarks")]  # noqa: E731
    else:
        model = getattr(backbones, name)()
        forward = lambda: [model(image)]  # noqa: E731

    def step() -> None:
        sum((x * x).mean() for x in forward()).backward()
        model.clear_gradients()

    return step


def theirs(name: str, channels_last: bool) -> Callable[[], None]:
    """A step of the same network in torch."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(1)

    def conv(i: int, o: int, k: int, s: int = 1, groups: int = 1) -> nn.Conv2d:
        return nn.Conv2d(i, o, k, s, k // 2, groups=groups, bias=False)

    def conv_bn(i: int, o: int, k: int, s: int = 1, groups: int = 1, act: nn.Module | None = None) -> nn.Sequential:
        return nn.Sequential(conv(i, o, k, s, groups), nn.BatchNorm2d(o), *([act] if act else []))

    def relu(i: int, o: int, k: int, s: int = 1, groups: int = 1) -> nn.Sequential:
        return conv_bn(i, o, k, s, groups, nn.ReLU())

    def prelu(i: int, o: int, k: int, s: int = 1, groups: int = 1) -> nn.Sequential:
        return conv_bn(i, o, k, s, groups, nn.PReLU(o))

    class Block(nn.Module):
        """branch(x) + shortcut(x), ReLU where `relu`."""

        def __init__(self, branch: nn.Module, shortcut: nn.Module | None, relu: bool = False):
            super().__init__()
            self.branch, self.shortcut, self.relu = branch, shortcut, relu

        def forward(self, x):
            y = self.branch(x) + (self.shortcut(x) if self.shortcut else x)
            return F.relu(y) if self.relu else y

    def blaze(i: int, channels: list[int], s: int) -> nn.Module:
        o = channels[-1]
        if len(channels) == 1:
            branch = nn.Sequential(relu(i, i, 5, s, i), conv_bn(i, o, 1))
        else:
            mid = channels[0]
            branch = nn.Sequential(relu(i, i, 5, s, i), relu(i, mid, 1), relu(mid, mid, 5, 1, mid), relu(mid, o, 1))
        return Block(branch, nn.Sequential(nn.MaxPool2d(2, 2, ceil_mode=True), relu(i, o, 1)) if s == 2 else None, relu=True)

    class BlazeNet(nn.Module):
        def __init__(self, stem: int):
            super().__init__()
            self.stem = nn.Sequential(relu(3, 24, stem, 2), *(blaze(i, [o], (*s, 1)[0]) for i, o, *s in SINGLE))
            self.fine = nn.Sequential(*(blaze(i, [m, o], (*s, 1)[0]) for i, m, o, *s in DOUBLE[:3]))
            self.coarse = nn.Sequential(*(blaze(i, [m, o], (*s, 1)[0]) for i, m, o, *s in DOUBLE[3:]))

        def forward(self, x):
            fine = self.fine(self.stem(x))
            return [fine, self.coarse(fine)]

    def mobile() -> nn.Module:
        parts, i = [prelu(3, 64, 3, 2), prelu(64, 64, 3, 1, 64)], 64
        for t, c, repeats, s in ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)):
            for k in range(repeats):
                stride, m = (s if k == 0 else 1), i * t
                branch = nn.Sequential(prelu(i, m, 1), prelu(m, m, 3, stride, m), conv_bn(m, c, 1))
                parts.append(Block(branch, None) if stride == 1 and i == c else branch)
                i = c
        gdc = nn.Sequential(nn.Conv2d(512, 512, 7, groups=512, bias=False), nn.BatchNorm2d(512))
        return nn.Sequential(*parts, prelu(i, 512, 1), gdc, nn.Conv2d(512, 128, 1, bias=False), nn.BatchNorm2d(128), nn.Flatten())

    def residual(units: list[int]) -> nn.Module:
        parts, i = [prelu(3, 64, 3)], 64
        for count, o in zip(units, (64, 128, 256, 512), strict=True):
            for k in range(count):
                s = 2 if k == 0 else 1
                branch = nn.Sequential(nn.BatchNorm2d(i), prelu(i, o, 3), conv_bn(o, o, 3, s))
                shortcut = conv_bn(i, o, 1, s) if i != o else nn.MaxPool2d(1, s) if s > 1 else None
                parts.append(Block(branch, shortcut))
                i = o
        last = [nn.BatchNorm2d(i), nn.Dropout(0.4), nn.Flatten(), nn.Linear(i * 49, 512), nn.BatchNorm1d(512, affine=False)]
        return nn.Sequential(*parts, *last)

    def leaky(i: int, o: int, k: int, s: int = 1, groups: int = 1) -> nn.Sequential:
        return conv_bn(i, o, k, s, groups, nn.LeakyReLU(0.1))

    def separable(i: int, o: int, s: int = 1) -> nn.Sequential:
        return nn.Sequential(leaky(i, i, 3, s, i), leaky(i, o, 1))

    class Context(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.shared, self.middle = conv_bn(64, 32, 3), leaky(64, 16, 3), conv_bn(16, 16, 3)
            self.narrow = nn.Sequential(leaky(16, 16, 3), conv_bn(16, 16, 3))

        def forward(self, x):
            shared = self.shared(x)
            return F.relu(torch.cat([self.wide(x), self.middle(shared), self.narrow(shared)], 1))

    class RetinaFace(nn.Module):
        """https://github.com/biubug6/Pytorch_Retinaface"""

        def __init__(self):
            super().__init__()
            first = [leaky(3, 8, 3, 2), separable(8, 16), separable(16, 32, 2), separable(32, 32), separable(32, 64, 2), separable(64, 64)]
            stages = [
                first,
                [separable(64, 128, 2), *(separable(128, 128) for _ in range(5))],
                [separable(128, 256, 2), separable(256, 256)],
            ]
            self.stages = nn.ModuleList([nn.Sequential(*stage) for stage in stages])
            self.lateral = nn.ModuleList([leaky(c, 64, 1) for c in (64, 128, 256)])
            self.merge = nn.ModuleList([leaky(64, 64, 3) for _ in range(2)])
            self.context = nn.ModuleList([Context() for _ in range(3)])
            self.heads = nn.ModuleList([nn.ModuleList([nn.Conv2d(64, o, 1) for _ in range(3)]) for o in (8, 4, 20)])

        def forward(self, x):
            x, levels = x - 110, []
            for stage, lateral in zip(self.stages, self.lateral, strict=True):
                x = stage(x)
                levels.append(lateral(x))
            for i in (1, 0):
                levels[i] = self.merge[i](levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[2:]))
            levels = [context(level) for context, level in zip(self.context, levels, strict=True)]
            rows = [[conv(x).permute(0, 2, 3, 1).flatten(1) for conv, x in zip(head, levels, strict=True)] for head in self.heads]
            return [torch.cat(row, 1) for row in rows]

    make = {
        "RetinaFace 640": RetinaFace,
        "BlazeFace 640": lambda: BlazeNet(3),
        "BlazeFace 128": lambda: BlazeNet(5),
        "MobileFaceNet": mobile,
        "AdaFace_IR_18": lambda: residual([2, 2, 2, 2]),
        "AdaFace_IR_50": lambda: residual([3, 4, 14, 3]),
    }
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model, image = make[name]().to(memory_format=layout), torch.randn(SHAPES[name]).to(memory_format=layout)

    def step() -> None:
        outputs = model(image)
        sum((x * x).mean() for x in (outputs if isinstance(outputs, list) else [outputs])).backward()
        model.zero_grad()

    return step


CASES = {
    "ours": lambda name: ours(name, False),
    "plain": lambda name: ours(name, True),
    "torch": lambda name: theirs(name, False),
    "torch channels_last": lambda name: theirs(name, True),
}


def serve(case: str, name: str) -> None:
    """Takes a step a line of its input, and prints its CPU seconds."""
    step = CASES[case](name)
    for _ in sys.stdin:
        start = time.process_time()
        step()
        print(time.process_time() - start, flush=True)


def fastest(name: str, cases: dict[str, str], rounds: int) -> dict[str, float]:
    """Seconds of the fastest step of each case, under its interpreter."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOG_minloglevel": "2"}
    workers = {
        case: subprocess.Popen(
            [python, "-W", "ignore", __file__, "--serve", case, name],
            text=True,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for case, python in cases.items()
    }
    best = dict.fromkeys(workers, float("inf"))
    for _ in range(rounds):
        for case, worker in workers.items():
            print(file=worker.stdin, flush=True)
            best[case] = min(best[case], float(worker.stdout.readline()))
    for worker in workers.values():
        worker.communicate()
    return best


def main() -> None:
    rounds, python = int((sys.argv[1:] or ["10"])[0]), (sys.argv[2:] or [sys.executable])[0]
    cases = {"ours": sys.executable, "plain": sys.executable}
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
        cases |= {"torch": python, "torch channels_last": python}
    else:
        print(f"skipped against torch: {python} cannot import it")
    for name in sys.argv[3:] or SHAPES:
        best = fastest(name, cases, rounds)
        line = f"{name}: {best['ours'] * 1e3:.0f} ms; " + "; ".join(
            f"{case} {best[case] * 1e3:.0f} ms, {best[case] / best['ours']:.2f} times" for case in cases if case != "ours"
        )
        print(line, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        main()
