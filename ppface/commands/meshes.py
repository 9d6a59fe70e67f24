"""Draws the face meshes of a detector that was trained with a dense regression branch: each picture, beside it meshes over its faces.

ppface meshes output/dense/20260101-120000 --input pictures --out meshes
"""

from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__)
    parser.add_argument("model", nargs="?", help="the folder of a run or a checkpoint")
    cli.add_weights(parser, "for the config or instead of the run's best")
    parser.add_argument("-i", "--input", type=Path, required=True, help="a picture or a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the drawn pictures")
    parser.add_argument("--threshold", type=float, default=0.5, help="least score of a face, 0..1")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if (args.model is None) == (args.config is None):
        parser.error("expected the folder of a run, or -c CONFIG --weights FILE")
    return args


def main() -> int:
    args = arguments()
    import cv2
    import numpy as np

    from ppface import predict
    from ppface.data.pictures import picture_files
    from ppface.data.pictures.picture import Picture
    from ppface.predict.mesh_drawing import draw_meshes, find_meshes

    folder = args.input if args.input.is_dir() else args.input.parent
    files = picture_files.find(folder, args.out).files if args.input.is_dir() else [args.input.name]
    if not files:
        raise DataError(f"{args.input}: expected pictures, found none")
    if args.out.resolve() == folder.resolve():
        raise DataError(f"{args.out}: expected an output folder other than the input's, whose pictures would be overwritten")
    model = predict.load_model(args.model or args.config, args.weights, args.override, args.names)
    find, count = predict.FaceDetector(model.predictor()), 0
    for name in files:
        image = Picture.open(folder / name).decode()
        boxes = np.array([face.box for face in find(image) if face.score >= args.threshold]).reshape(-1, 4)
        drawn = draw_meshes(image, find_meshes(model, image, boxes))
        file = args.out / name
        if file.suffix.lower() not in (".jpg", ".jpeg"):
            file = file.with_name(f"{file.name}.jpg")  # a.png beside a.jpg gets a file of its own
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cv2.imencode(".jpg", drawn[:, :, ::-1])[1].tobytes())
        count += len(boxes)
    print(f"{len(files)} pictures with {count} faces in {args.out}")
    return 0
