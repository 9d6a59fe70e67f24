"""Draws synthetic pictures as JPEG files: scenes for detection, or aligned portraits for recognition, one folder per person.

ppface draw --out pictures --count 12
ppface draw --out people --people 4 --count 3 --size 112 112
"""

from pathlib import Path

from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--people", type=int, help="draw portraits of this number of people instead of scenes")
    parser.add_argument("--count", type=int, default=12, help="number of scenes, or of portraits per person")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default: 480 640; portraits: 112 112")
    parser.add_argument("--seed", type=int, default=2, help="the quickstart trains on seed 0 and holds out seed 1")
    parser.add_argument("--difficulty", type=float, default=0.5, help="0 (easy) to 1 (hard)")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    try:
        return args, _pictures(args)
    except ValueError as error:
        parser.error(str(error))


def _pictures(args):
    from ppface.data import SyntheticFaces, SyntheticIdentities

    if args.people is None:
        return SyntheticFaces(args.count, tuple(args.size or (480, 640)), args.seed, (1, 4), (0.2, 0.6), difficulty=args.difficulty)
    return SyntheticIdentities(args.people, args.count, tuple(args.size or (112, 112)), args.seed, args.difficulty)


def main() -> int:
    args, pictures = arguments()
    import cv2

    for i in range(len(pictures)):
        name = pictures.name(i) if args.people is None else f"{i // args.count:04d}/{i % args.count:04d}"
        file = args.out / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cv2.imencode(".jpg", pictures[i]["picture"].decode()[:, :, ::-1])[1].tobytes())
    print(f"{len(pictures)} pictures in {args.out}")
    return 0
