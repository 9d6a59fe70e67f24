"""Aligns a folder of faces by a file of landmarks, for recognition. If interrupted, run the same command again to resume.

ppface align --images photos --landmarks points.csv --out aligned
ppface align --images photos --landmarks points.txt --out upright --eyes

The file has one line per picture: its path under the folder, then x y of 5 points (left eye, right eye, nose tip, left and right
corner of the mouth as seen in the picture) or of the 68 of iBUG 300-W, in pixels, separated by commas, tabs or spaces.
"""

import sys
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--landmarks", type=Path, required=True, help="the landmark file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(112, 112), metavar=("HEIGHT", "WIDTH"), help="size of the results (default: 112 112)"
    )
    parser.add_argument("--eyes", action="store_true", help="only rotate each picture until the eyes are level, and keep its size")
    parser.add_argument("--skip", type=int, default=0, help="columns between the path and the first point")
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg", help="file format of the results; png is lossless")
    return parser


def main() -> int:
    args = options().parse_args()
    from tqdm import tqdm

    from ppface.data.landmarks import landmark_file
    from ppface.data.recognition.align_folder import align_folder
    from ppface.ops import align

    names, points = landmark_file.read(args.landmarks, args.skip)

    def onto_template(pixels, xy):
        return align.align(pixels, xy, tuple(args.size))

    warp = align.upright if args.eyes else onto_template
    faces = list(zip(names, points, strict=True))
    tally = align_folder(args.images, args.out, faces, warp, f".{args.format}", lambda work: tqdm(work, disable=None))
    for reason in tally.broken.values():
        print(f"broken: {reason}", file=sys.stderr)
    print(f"{args.out}: {tally.done} aligned, {tally.there} already there, {len(tally.broken)} broken")
    return DataError.exit_code if tally.broken else 0
