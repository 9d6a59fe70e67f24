"""Exports a run's model as a static Paddle model that runs without ppface, after comparing its outputs with the live model's.

ppface export output/blazeface/20260101-120000 --out export/blazeface
ppface export -c detection/blazeface_1000e --weights blazeface_1000e.pdparams --out export/blazeface
ppface export output/blazeface/20260101-120000 --out export/blazeface --format paddle onnx openvino --evaluate
ppface export output/blazeface/20260101-120000 --out export/blazeface --format openvino --int8 --calibration pictures
"""

import shutil
import tempfile
from pathlib import Path

from ppface.core.errors import UserError
from ppface.core.run import cli, signals

FORMATS = ("paddle", "onnx", "openvino")


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    cli.add_run_and_out(parser)
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest difference from the live model, relative to 1 + |value|")
    parser.add_argument("--format", nargs="+", choices=FORMATS, help="formats to write, with a table of all (default: paddle, no table)")
    parser.add_argument("--evaluate", action="store_true", help="measure the config's evaluators with every format")
    parser.add_argument("--int8", action="store_true", help="write an INT8 model for OpenVINO too")
    parser.add_argument("--calibration", metavar="FOLDER", help="pictures for --int8 (default: the training data of the config)")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if not (args.run or args.config):
        parser.error("expected the folder of a run, or -c CONFIG --weights FILE")
    if args.calibration and not args.int8:
        parser.error("--calibration: expected --int8 with it")
    return args


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.engine import classes, export, provenance, run
    from ppface.engine.formats import exporter, parity
    from ppface.predict import export_formats

    out, weights = Path(args.out), args.weights or (args.run if args.config else None)
    if out.exists():
        raise UserError(f"{out}: already exists; expected the name of a new folder")
    formats = args.format or ["paddle"]
    exporter.check(formats, args.int8)
    live = predict.open_model(args.config or args.run, weights, args.override, args.names)
    model, about = live.model, provenance.environment(live.config, Path(args.config or run.CONFIG).stem)
    names = classes.of_weights(live.weights)
    pictures, evaluators = export_formats.pictures(args, live), export_formats.evaluators(args, live)
    out.parent.mkdir(parents=True, exist_ok=True)
    with signals.deferred(""), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / out.name
        run.open_folder(folder, live.config, about)
        if names is not None:
            classes.write(folder, names)
        with signals.immediate_exit(lambda: shutil.rmtree(temporary, True)):  # an exception in Paddle's tracing causes a segmentation fault
            trained = provenance.of_export(live.weights)
            places = exporter.write(model, folder, formats, trained, *export_formats.suppression(), pictures)
        with signals.interruptible():
            if args.format or args.evaluate or args.int8:
                found = parity.compare_formats(model, places, predict.load_predictor, args.tolerance, evaluators, export_formats.faces)
                parity.store(found, folder)
                text = parity.table(found)
            else:
                worst = export.verify(model.predictor(), predict.load_predictor(folder), args.tolerance, export_formats.faces)
                text = f"{out}: the outputs of the exported model match the live model (largest difference {worst:.2e})"
        shutil.move(folder, out)
    print(text)
    return 0
