"""Writes the embeddings of a folder's or a list's aligned faces: OUT.npy, one row per picture, and OUT.txt, one line per row.

ppface extract output/adaface/20260101-120000 --input faces/ --out embeddings.npy
ppface extract export/adaface --input list.txt --root faces/ --out embeddings.npy --flip

OUT.norm.npy has the length of each embedding before L2 normalisation, with --flip the mean of both pictures. Models with variances
(UncertaintyHead) also give OUT.variance.npy, a row per picture, and models with a quality (UncertaintyHead, MagMargin) OUT.quality.npy.

A list has one `path` or `path label` per line. If interrupted, run the same command again to resume.
Broken pictures are reported and left out, and the exit code is 3.
"""

import sys
from functools import partial
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument("model", nargs="?", help="the folder of a run, a checkpoint or an export")
    cli.add_weights(parser, "for the config or instead of the run's best")
    parser.add_argument("-i", "--input", required=True, help="a folder of pictures, or a text file that lists them")
    parser.add_argument("--root", help="what the list's paths are relative to (default: the list's folder)")
    parser.add_argument("--out", required=True, help="the .npy file to write")
    parser.add_argument("--flip", action="store_true", help="add the embedding of the mirrored picture")
    parser.add_argument("--resize", action="store_true", help="stretch pictures of another size; otherwise they count as broken")
    parser.add_argument("--batch-size", type=int, default=64, help="pictures in one call of the model")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if (args.model is None) == (args.config is None):
        parser.error("expected the folder of a run or an export, or -c CONFIG --weights FILE")
    if not args.out.endswith(".npy") or args.batch_size < 1:
        parser.error("expected --out FILE.npy and a --batch-size of at least 1")
    return args


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.predict.extract import check_out, entries, extract

    check_out(Path(args.out), Path(args.input))
    pictures = entries(Path(args.input), Path(args.root) if args.root else None)
    model, origin = predict.open_predictor(args.model or args.config, args.weights, overrides=args.override, names=args.names)
    embedder, identity = predict.FaceEmbedder(model, args.flip, args.resize), origin.identity()
    progress = partial(print, sep=" of ", flush=True)
    broken = extract(embedder, pictures, Path(args.out), identity, args.batch_size, progress)
    print("\n".join(f"left out: {reason}" for reason in broken), end="\n" if broken else "", file=sys.stderr)
    print(f"{len(pictures) - len(broken)} embeddings in {args.out}, {len(broken)} broken pictures left out")
    return DataError.exit_code if broken else 0
