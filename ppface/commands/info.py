"""Prints the parameters and multiply-adds of a config's model, for each of its parts, at its input size.

ppface info -c recognition/arcface_mobilefacenet_ms1mv3 -o model.head.class_num=93431
ppface info -c detection/blazeface_1000e --json
"""

import json

from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON with exact numbers")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if not args.config:
        parser.error("expected -c CONFIG")
    return args


def main() -> int:
    args = arguments()
    from ppface.core.config.spec import build_model, load_config
    from ppface.nets.size import sizes

    model = build_model(load_config(args.config, args.override))
    height, width = model.input.size
    found = sizes(model, (height, width))
    if args.json:
        print(json.dumps({"size": [height, width], "parts": found}, indent=1))
        return 0
    print(f"{height}x{width:<12}{'parameters':>14}{'MACs (M)':>12}")
    for name, part in found.items():
        if any(part.values()):
            print(f"{name:<16}{part['parameters']:>14,}{part['macs'] / 1e6:>12,.1f}")
    return 0
