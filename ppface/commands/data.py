"""Reports the statistics of a set of identities: identities, images, image sizes, images per identity; as text, JSON and a plot.

ppface data faces_emore/train.rec --plot emore.png
ppface data -c recognition/adaface_ir18_ms1mv3 --json ms1mv3.json
"""

import json
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument("source", type=Path, nargs="?", help="a folder of people, a .rec, or a list of `path label`")
    parser.add_argument("--root", type=Path, help="folder that a list's paths are relative to (default: the list's folder)")
    parser.add_argument("--sample", type=int, default=2000, help="number of images whose size is read; 0: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the statistics as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="plot both histograms")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if (args.source is None) == (args.config is None):
        parser.error("expected a folder, a .rec or a list, or -c CONFIG: exactly one of them")
    if (args.plot and args.plot.suffix != ".png") or args.sample < 0:
        parser.error("expected --plot FILE.png and a --sample of at least 0")
    return args


def main() -> int:
    args = arguments()
    from ppface.data.recognition.identity_convert import open_identities
    from ppface.data.recognition.identity_report import draw, report

    if args.config:
        from ppface.core.config.spec import load_config

        data = load_config(args.config, args.override)["train"]["dataset"]()
        if not hasattr(data, "labels"):
            raise DataError(
                f"{args.config}: train.dataset: expected a data set of identities, received {type(data).__name__}, which has no labels"
            )
    else:
        data = open_identities(args.source, args.root)
    found = report(data, args.sample)
    print(found.text())
    if args.json:
        args.json.write_text(json.dumps(found.numbers(), indent=1), encoding="utf-8")
    if args.plot:
        draw(found, args.plot, str(args.source or args.config))
    return DataError.exit_code if found.broken else 0
