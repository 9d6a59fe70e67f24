"""Writes a run's model as two files to hand on: config.yml and weights.safetensors, of the running average if the run has one.

ppface release output/mine/20260101-120000 --out mine_v1 --half
ppface infer mine_v1 --input photo.jpg --output found      # every command takes such a folder
"""

from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    cli.add_run_and_out(parser)
    parser.add_argument("--half", action="store_true", help="store convolutions and matrices as float16: half the size")
    return parser


def main() -> int:
    args = cli.parse_run_and_out(options())
    from ppface import predict
    from ppface.predict import release

    live = predict.open_model(args.source, args.weights, args.override, args.names)
    with cli.new_folder(args.out) as folder:
        release.write(live.model, live.config, folder, args.half)
    size = sum(file.stat().st_size for file in args.out.iterdir())
    print(f"{args.out}: {size:,} bytes, from {live.weights.file}")
    return 0
