"""Writes a run's model as a static Paddle model that runs without ppface, after checking that it answers as the live one.

python tools/export_model.py output/blazeface/20260101-120000 --out export/blazeface
python tools/export_model.py -c configs/detection/blazeface_1000e.yml --weights blazeface_1000e.pdparams --out export/blazeface
"""

import shutil
import tempfile
from pathlib import Path

from ppface.core.errors import UserError
from ppface.core.run import cli, signals


def arguments():
    parser = cli.parser(__doc__)
    parser.add_argument("run", nargs="?", help="the folder of a run or a checkpoint")
    parser.add_argument("-w", "--weights", help="a weight file, a checkpoint or a run, for the config or instead of the run's best")
    parser.add_argument("--names", metavar="FILE", help="rules from the weight file's names to the model's, see configs/weights")
    parser.add_argument("--out", required=True, help="the folder to make; it must not exist")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="largest difference to the live model, relative to 1 + |value|")
    args = parser.parse_args()
    if not (args.run or args.config):
        parser.error("expected the folder of a run, or -c CONFIG --weights FILE")
    return args


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.engine import export, provenance, run

    out, weights = Path(args.out), args.weights or (args.run if args.config else None)
    if out.exists():
        raise UserError(f"{out}: exists already; expected a folder that is yet to be made")
    opened = predict.open_model(args.config or args.run, weights, args.override, args.names)
    model, about = opened.model, provenance.environment(opened.config, Path(args.config or run.CONFIG).stem)
    out.parent.mkdir(parents=True, exist_ok=True)
    with signals.deferred(""), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as aside:
        folder = Path(aside) / out.name
        run.open_folder(folder, opened.config, about)
        with signals.immediate_exit(lambda: shutil.rmtree(aside, True)):  # an exception in Paddle's tracing is a segmentation fault
            export.write(model, folder, provenance.of_export(opened.weights))
        with signals.interruptible():
            worst = export.verify(model.predictor(), predict.load_predictor(folder), args.tolerance)
        shutil.move(folder, out)
    print(f"{out}: the exported model answers as the live one (largest difference {worst:.2e})")
    return 0


if __name__ == "__main__":
    cli.run(main)
