"""Speed of exported BlazeFace and RetinaFace at 640x640 on two threads: deploy/python against paddle.inference with default settings.

    python tests/benchmarks/deployed_predictor.py

Prints, for each published network, ms per picture with default and deployed settings, their ratio, and the share of pre- and
post-processing in the deployed detector's time: resizing, and everything after the head's convolutions, inside the exported graph or not.
Weights are random, with scores as in a trained network: one anchor in a hundred passes the score threshold.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from ppface.core.config.spec import build_model, load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("blazeface_1000e", "blazeface_fpn_ssh_1000e", "retinaface_mobilenet025")
THREADS, ROUNDS, PICTURES, PASSING, HEIGHT, WIDTH = 2, 32, 4, 0.01, 768, 1024


def pictures(count: int, height: int, width: int) -> list[np.ndarray]:
    from ppface.data.synthetic.synthetic_faces import SyntheticFaces

    drawn = SyntheticFaces(length=count, size=(height, width), seed=0)
    return [drawn[i]["picture"].decode() for i in range(count)]


def realistic(config: str):
    """A random network with batch norm statistics as after training, of whose scores the share PASSING exceeds the threshold."""
    import paddle

    paddle.seed(0)
    stretched = "model.input.test=null"  # RetinaFace would keep the picture's own size
    model = build_model(load_config(ROOT / "configs" / "detection" / f"{config}.yml", [stretched]))
    batch = {"image": paddle.to_tensor(np.stack(pictures(2, *model.input.size)).transpose(0, 3, 1, 2))}
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer._momentum = 0.0
    with paddle.no_grad():
        model.train()
        model(batch)
        model.eval()
        for convolution in model.head.boxes:
            convolution.weight.set_value(convolution.weight * 0.1)
        logits = model(batch)["logits"].numpy()
        threshold = np.log(model.post.score_threshold / (1 - model.post.score_threshold))
        shift = threshold - np.quantile(logits[..., 0] - logits[..., 1], 1 - PASSING)
        for convolution in model.head.scores:
            bias = convolution.bias.numpy()
            bias[int(model.head.background_first) :: 2] += shift
            convolution.bias.set_value(bias)
    return model


def without_post(model):
    """The same network without post-processing: up to the head's convolutions."""
    from paddle import nn

    class Network(nn.Layer):
        def __init__(self):
            super().__init__()
            self.model, self.input, self.head, self.any_size, self.post = model, model.input, model.head, model.any_size, None

        def infer(self, image):
            return {name: value for name, value in self.model({"image": image}).items() if name in ("boxes", "logits", "landmarks")}

    return Network()


def runner(predictor) -> Callable[[np.ndarray], None]:
    """(1, 3, H, W) uint8 -> None, after copying all outputs to the CPU."""
    handle = predictor.get_input_handle("image")
    outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]

    def run(pixels: np.ndarray) -> None:
        handle.copy_from_cpu(pixels)
        predictor.run()
        for output in outputs:
            output.copy_to_cpu()

    return run


def plain(folder: Path):
    """paddle.inference with default settings, without oneDNN."""
    from paddle import inference

    config = inference.Config(str(folder / "model.json"), str(folder / "model.pdiparams"))
    config.disable_glog_info()
    config.disable_mkldnn()
    config.set_cpu_math_library_num_threads(THREADS)
    return inference.create_predictor(config)


def measure(config: str, aside: Path) -> None:
    from detector import FaceDetector, resized
    from runtimes import predictor

    from ppface.engine import export

    model = realistic(config)
    whole, network = aside / f"{config}-whole", aside / f"{config}-network"
    for folder, part in ((whole, model), (network, without_post(model))):
        folder.mkdir()
        export.write(part, folder, {})
    find = FaceDetector(whole, THREADS)
    head = runner(predictor(network / "model.json", network / "model.pdiparams", THREADS, "cpu"))
    slow = runner(plain(whole))
    times: dict[str, list[float]] = {name: [] for name in ("plain", "pre", "run", "post", "network")}
    rows = []
    for turn, photo in enumerate(pictures(PICTURES, HEIGHT, WIDTH) * (ROUNDS // PICTURES)):
        pixels = np.ascontiguousarray(resized(photo, model.input.size).transpose(2, 0, 1)[None])
        for name in ("plain", *(("network", "find") if turn % 2 else ("find", "network"))):  # in turn: the load of the machine varies
            if name == "find":
                rows.append(len(find(photo)))
                for part, seconds in find.seconds.items():
                    times[part].append(seconds)
            else:
                start = time.perf_counter()
                (slow if name == "plain" else head)(pixels)
                times[name].append(time.perf_counter() - start)
    report(config, {name: 1000 * np.array(values[PICTURES:]) for name, values in times.items()})
    print(f"  {min(rows)} to {max(rows)} faces per picture")


def report(config: str, ms: dict[str, np.ndarray]) -> None:
    """Prints medians over all pictures; the post-processing in the graph is the median difference between consecutive measurements."""
    middle = {name: float(np.median(values)) for name, values in ms.items()}
    inside = float(np.median(ms["run"] - ms["network"]))
    whole = middle["pre"] + middle["run"] + middle["post"]
    share = 100 * (middle["pre"] + inside + middle["post"]) / whole
    ratio, best = middle["plain"] / middle["run"], float(ms["plain"].min() / ms["run"].min())
    print(f"{config}, {len(ms['run'])} pictures:")
    print(f"  plain {middle['plain']:.1f} ms, deployed {middle['run']:.1f} ms: {ratio:.2f} times faster (best runs {best:.2f})")
    print(f"  pre {middle['pre']:.2f} ms, network {middle['run'] - inside:.1f}, post in graph {inside:.2f}, after {middle['post']:.2f}")
    print(f"  pre- and post-processing: {share:.1f} % of {whole:.1f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as aside:
        for config in CONFIGS:
            measure(config, Path(aside))


if __name__ == "__main__":
    main()
