"""INT8 by NNCF against the static quantizer of ONNX Runtime (QDQ): latency of the built-in detector and BlazeFace 640x640, and AP of the former.

    python tests/benchmarks/int8.py [--threads 1] [--cpu-time]    # needs ml_dtypes

Both quantize the convolutions alone, with the same drawn calibration pictures. Prints the shortest and the median ms of every file and runtime, which run
in turns, since the load of the machine varies; and the AP on the drawn pictures of the quickstart. BlazeFace has random weights, so no AP.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from deployed_predictor import pictures, realistic
from latency import clock_of, latencies, parser, show

from ppface import predict
from ppface.core.config.spec import load_config
from ppface.engine.formats import exporter
from ppface.engine.formats.openvino_file import redescribe
from ppface.predict.export_formats import suppression

ROOT = Path(__file__).resolve().parents[2]
CALIBRATION = 32


def quantized(source: Path, folder: Path, calibration: list[np.ndarray]) -> Path:
    """The ONNX file of a folder with its convolutions in INT8, by ONNX Runtime's quantizer."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(calibration)

        def get_next(self):
            picture = next(self.rest, None)
            return None if picture is None else {"image": picture}

    folder.mkdir()
    quant_pre_process(source / "model.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(
        folder / "prepared.onnx",
        folder / "model.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        **types,
    )
    (folder / "prepared.onnx").unlink()
    redescribe(source, folder)
    return folder


def main() -> None:
    args = parser(__doc__).parse_args()
    clock = clock_of(args)
    evaluator = load_config(ROOT / "configs" / "quickstart" / "detection.yml")["evaluators"][0]()
    models = {"builtin": (predict.open_model("builtin").model, (600, 800)), "blazeface_1000e": (realistic("blazeface_1000e"), (640, 640))}
    for name, (model, size) in models.items():
        with tempfile.TemporaryDirectory() as aside:
            calibration = [np.ascontiguousarray(picture.transpose(2, 0, 1)[None]) for picture in pictures(CALIBRATION, *size)]
            places = exporter.write(model, Path(aside), ("onnx", "openvino"), {}, *suppression(), calibration)
            places["onnx_qdq"] = quantized(places["onnx"], Path(aside, "onnx_qdq"), calibration)
            runs = {kind: predict.load_predictor(place, threads=args.threads) for kind, place in places.items()}
            show(name, latencies({kind: partial(run, {"image": calibration[0]}) for kind, run in runs.items()}, clock))
            if name == "builtin":
                print("AP", *(f"{kind} {dict(evaluator(run))['ap']:.4f}" for kind, run in runs.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
