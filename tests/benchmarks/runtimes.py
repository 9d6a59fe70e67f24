"""Latency of exported models under the three runtimes: BlazeFace 640x640 and 128x128, with and without post-processing, and MobileFaceNet.

    python tests/benchmarks/runtimes.py [--threads 1] [--int8] [--cpu-time]

Prints the shortest and the median ms of every model. They run in turns, since the load of the machine varies. The difference between a whole
detector and its network alone is the post-processing in the graph. Then, with OpenVINO and for RetinaFace 640x640 too, the whole call of
deploy/python on a picture of 768x1024 (resizing, network, post-processing, back to the picture's pixels) against the network alone. Weights
are random, with scores as in a trained network.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from deployed_predictor import pictures, realistic, without_post
from detector import FaceDetector
from latency import clock_of, latencies, parser, show

from ppface import predict
from ppface.core.config.spec import build_model, load_config
from ppface.engine.formats import exporter
from ppface.predict.export_formats import suppression

ROOT = Path(__file__).resolve().parents[2]
FORMATS, CALIBRATION = ("paddle", "onnx", "openvino"), 32


def models() -> dict:
    """(model, batches of pixels) by name."""
    found = {}
    for config in ("blazeface_1000e", "blazeface_128"):
        whole = realistic(config)
        pixels = np.stack(pictures(1, *whole.input.size)).transpose(0, 3, 1, 2)
        found[f"{config}, network alone"] = without_post(whole), pixels
        found[config] = whole, pixels
    embedder = build_model(load_config(ROOT / "configs" / "recognition" / "adaface_mobilefacenet_cfp.yml"))
    faces = np.stack(pictures(32, *embedder.input.size)).transpose(0, 3, 1, 2)
    return found | {"MobileFaceNet, 1 picture": (embedder, faces[:1]), "MobileFaceNet, 32 pictures": (embedder, faces)}


def measure(name: str, model, pixels: np.ndarray, threads: int, int8: bool, folder: Path, clock: Callable[[], float]) -> None:
    """Exports one model in all formats and prints its latencies."""
    folder.mkdir()
    calibration = np.stack(pictures(CALIBRATION, *model.input.size)).transpose(0, 3, 1, 2)[:, None] if int8 else ()
    places = exporter.write(model, folder, FORMATS, {}, *suppression(), list(calibration))
    batch = {"image": np.ascontiguousarray(pixels)}
    runs = {kind: partial(predict.load_predictor(place, threads=threads), batch) for kind, place in places.items()}
    show(name, latencies(runs, clock))


def deployed(config: str, threads: int, folder: Path, clock: Callable[[], float]) -> None:
    """Prints the latencies of a detector's network, of its whole graph, and of the deployed call."""
    whole = realistic(config)
    picture = pictures(1, 768, 1024)[0]
    batch = {"image": np.stack(pictures(1, *whole.input.size)).transpose(0, 3, 1, 2).copy()}
    places = {}
    for kind, model in {"network alone": without_post(whole), "with post-processing": whole}.items():
        places[kind] = folder / kind
        places[kind].mkdir(parents=True)
        exporter.write(model, places[kind], ("openvino",), {}, *suppression())
    find = FaceDetector(places["with post-processing"], threads, runtime="openvino")
    runs = {kind: partial(predict.load_predictor(place, threads=threads), batch) for kind, place in places.items()}
    runs["deployed call"] = partial(find, picture)
    times = latencies(runs, clock)
    show(f"{config} {find.test_size(768, 1024)}", times)
    least = {kind: min(ms) for kind, ms in times.items()}
    print(f"  deployed call / network alone: {least['deployed call'] / least['network alone']:.2f}", flush=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--int8", action="store_true")
    args = options.parse_args()
    clock = clock_of(args)
    with tempfile.TemporaryDirectory() as aside:
        for number, (name, (model, pixels)) in enumerate(models().items()):
            measure(name, model, pixels, args.threads, args.int8, Path(aside, str(number)), clock)
        for config in ("blazeface_1000e", "blazeface_128", "retinaface_mobilenet025"):
            deployed(config, args.threads, Path(aside, config), clock)


if __name__ == "__main__":
    main()
