"""Finds or embeds faces with a run, an export, or a config and weights: in a picture, a folder, a video or from a camera.

ppface infer builtin --input photo.jpg --output out
ppface infer output/blazeface/20260101-120000 --input pictures --output out
ppface infer -c detection/blazeface_1000e --weights blazeface_1000e.pdparams --input picture.jpg --output out
ppface infer output/blazeface/20260101-120000 --landmarks output/pfld_68/20260101-120000 --input photo.jpg --output out
ppface infer builtin --embedder output/adaface/20260101-120000 --people people --same 0.4 --video clip.mp4 --output out
ppface infer export/retinaface --embedder export/adaface --gallery people.db --key gallery.key --video clip.mp4 --output out
ppface infer output/adaface/20260101-120000 --input aligned/ --json embeddings.json
ppface infer output/adaface/20260101-120000 --compare a.jpg b.jpg --threshold 0.3
"""

import sys
from functools import partial

from ppface.core.errors import DataError
from ppface.core.files import shipped
from ppface.core.run import cli
from ppface.predict import naming_options

# Reading, drawing and timing are imported from deploy/, which must run without ppface.
sys.path.insert(0, str(shipped.folder("deploy") / "python"))

import session
from media import MediaError


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "model", nargs="?", help="the folder of a run, an export or a released model, zoo:NAME, or builtin, the detector of ppface"
    )
    cli.add_weights(parser, "for the config or instead of the run's best")
    session.add_options(parser)
    naming_options.add_options(parser)
    parser.add_argument(
        "--gallery", metavar="ADDRESS", help="people to be named: a calibrated gallery of `ppface gallery`, with --embedder"
    )
    parser.add_argument("--key", metavar="FILE", help="the file of the gallery's key")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if (args.model is None) == (args.config is None):
        parser.error("expected the folder of a run or an export, or -c CONFIG --weights FILE")
    return args


def _gallery(args, pipeline):
    from ppface.commands._gallery_models import identity_of
    from ppface.gallery import Gallery, read_key
    from ppface.predict import open_predictor

    identity = identity_of(*open_predictor(args.embedder), pipeline)
    gallery = Gallery(args.gallery, read_key(args.key) if args.key else None, identity)
    gallery.threshold()  # refuses one that is not calibrated before anything is written
    return gallery


def main() -> int:
    args = arguments()
    from ppface import predict
    from ppface.data.pictures.picture import Picture

    find = predict.of_predictor(predict.load_predictor(args.model or args.config, args.weights, args.threads, args.override, args.names))
    try:
        if args.landmarks:
            landmarks = predict.load(args.landmarks, threads=args.threads)
            find = session.with_landmarks(find, landmarks, args, predict.LandmarkedDetector)
        gallery = partial(_gallery, args) if args.gallery else None
        find, follow = naming_options.named(find, args, session.lowest_score(args), gallery)
        try:
            return session.process(find, args, lambda path: Picture.open(path).decode(), DataError, follow)
        finally:
            print(*(f"{line}\n" for line in (follow.summary() if follow else ())), sep="", end="", flush=True)
    except MediaError as error:
        raise DataError(str(error)) from None
