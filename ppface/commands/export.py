"""Exports a run's model as a static Paddle model that runs without ppface, after comparing its outputs with the live model's.

ppface export output/blazeface/20260101-120000 --out export/blazeface
ppface export -c detection/blazeface_1000e --weights blazeface_1000e.pdparams --out export/blazeface
"""

import shutil
import tempfile
from pathlib import Path

from ppface.core.errors import UserError
from ppface.core.run import cli, signals


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    cli.add_run_and_out(parser)
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest difference from the live model, relative to 1 + |value|")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if not (args.run or args.config):
        parser.error("expected the folder of a run, or -c CONFIG --weights FILE")
    return args


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.engine import classes, export, provenance, run

    out, weights = Path(args.out), args.weights or (args.run if args.config else None)
    if out.exists():
        raise UserError(f"{out}: already exists; expected the name of a new folder")
    live = predict.open_model(args.config or args.run, weights, args.override, args.names)
    model, about = live.model, provenance.environment(live.config, Path(args.config or run.CONFIG).stem)
    names = classes.of_weights(live.weights)
    out.parent.mkdir(parents=True, exist_ok=True)
    with signals.deferred(""), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / out.name
        run.open_folder(folder, live.config, about)
        if names is not None:
            classes.write(folder, names)
        with signals.immediate_exit(lambda: shutil.rmtree(temporary, True)):  # an exception in Paddle's tracing causes a segmentation fault
            export.write(model, folder, provenance.of_export(live.weights))
        with signals.interruptible():
            worst = export.verify(model.predictor(), predict.load_predictor(folder), args.tolerance)
        shutil.move(folder, out)
    print(f"{out}: the outputs of the exported model match the live model (largest difference {worst:.2e})")
    return 0
