"""Writes a run's model as two files to hand on: config.yml and weights.safetensors, of the running average if the run has one.

ppface release output/mine/20260101-120000 --out mine_v1 --half
ppface infer mine_v1 --input photo.jpg --output found      # every command takes such a folder
"""

import shutil
import tempfile
from pathlib import Path

from ppface.core.errors import UserError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    cli.add_run_and_out(parser)
    parser.add_argument("--half", action="store_true", help="store convolutions and matrices as float16: half the size")
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
    from ppface.predict import release

    out, weights = Path(args.out), args.weights or (args.run if args.config else None)
    if out.exists():
        raise UserError(f"{out}: already exists; expected the name of a new folder")
    live = predict.open_model(args.config or args.run, weights, args.override, args.names)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        release.write(live.model, live.config, folder, args.half)
        shutil.move(folder, out)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size:,} bytes, from {live.weights.file}")
    return 0
