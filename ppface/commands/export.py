"""Exports a run's model as a static Paddle model that runs without ppface, after comparing its outputs with the live model's.

ppface export output/blazeface/20260101-120000 --out export/blazeface
ppface export -c detection/blazeface_1000e --weights blazeface_1000e.pdparams --out export/blazeface
ppface export output/blazeface/20260101-120000 --out export/blazeface --format paddle onnx openvino --evaluate
ppface export output/blazeface/20260101-120000 --out export/blazeface --format openvino --int8 --calibration pictures
"""

import math
import shutil
from pathlib import Path

from ppface.core.files.file_names import for_library
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
    args = cli.parse_run_and_out(parser)
    if not 0 <= args.tolerance < math.inf:  # no difference is larger than NaN
        parser.error(f"--tolerance: expected a number from 0 on, received {args.tolerance}")
    if args.calibration and not args.int8:
        parser.error("--calibration: expected --int8 with it")
    return args


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.engine import classes, export, provenance, run
    from ppface.engine.formats import exporter, parity
    from ppface.predict import export_formats

    for_library(args.out)
    formats = args.format or ["paddle"]
    exporter.check(formats, args.int8)
    live = predict.open_model(args.source, args.weights, args.override, args.names)
    export_formats.check_temporary_room(live.model)
    model, about = live.model, provenance.environment(live.config, Path(args.config or run.CONFIG).stem)
    names = classes.of_weights(live.weights)
    pictures, evaluators = export_formats.pictures(args, live), export_formats.evaluators(args, live)
    with signals.deferred(""), cli.new_folder(args.out) as folder:
        run.open_folder(folder, live.config, about)
        if names is not None:
            classes.write(folder, names)
        # an exception in Paddle's tracing causes a segmentation fault
        with signals.immediate_exit(lambda: shutil.rmtree(folder.parent, True)), export_formats.writable_home(folder.parent):
            trained = provenance.of_export(live.weights)
            places = exporter.write(model, folder, formats, trained, *export_formats.suppression(), pictures)
        with signals.interruptible():
            if args.format or args.evaluate or args.int8:
                found = parity.compare_formats(model, places, predict.load_predictor, args.tolerance, evaluators, export_formats.faces)
                parity.store(found, folder)
                text = parity.table(found)
            else:
                worst = export.verify(model.predictor(), predict.load_predictor(folder), args.tolerance, export_formats.faces)
                text = f"{args.out}: the outputs of the exported model match the live model (largest difference {worst:.2e})"
    print(text)
    return 0
