"""Serves detection, embeddings and a gallery of people over HTTP, with a page for browsers; see deploy/service/README.md.

ppface serve --detector builtin --embedder export/adaface
ppface serve --detector export/retinaface --embedder export/adaface --gallery people.db --key gallery.key
ppface serve new-key web --scopes read search --rate 600 >> keys.yml     # prints the key itself to the terminal, once
ppface serve --detector builtin --embedder export/adaface --keys keys.yml --host 0.0.0.0

The key of the gallery is that of --key FILE, else the 64 hexadecimal digits in PPFACE_GALLERY_KEY. A gallery that does not exist is made.
Logs are JSON lines on standard error. SIGTERM and Ctrl-C finish the requests that have begun.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

from ppface.core.errors import UserError
from ppface.core.run import cli

PACKAGES = "fastapi, uvicorn, prometheus-client and python-multipart"


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("action", nargs="?", choices=("new-key",), help="make a key for a client instead of serving")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the new key, for the person who keeps the file")
    parser.add_argument("--scopes", nargs="+", default=["read"], choices=("read", "search", "enrol", "delete"), help="of the new key")
    parser.add_argument("--rate", type=float, help="requests a minute of the new key (default: any number)")
    parser.add_argument("--detector", metavar="MODEL", help="finds faces: a run, an export, a released model, builtin or zoo:NAME")
    parser.add_argument("--embedder", metavar="MODEL", help="embeds aligned faces, likewise")
    parser.add_argument("--landmarks", metavar="MODEL", help="a landmark model on each detected face (default: the detector's landmarks)")
    parser.add_argument("--align", choices=("five_points", "eyes", "crop"), default="five_points", help="how faces are aligned")
    parser.add_argument("--flip", action="store_true", help="add the embedding of the mirrored face")
    parser.add_argument("--min-score", type=float, default=0.5, help="lowest score of a face (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads of exports (default: one per core)")
    parser.add_argument("--gallery", metavar="ADDRESS", help="people, see `ppface gallery`; it must be of the same model")
    parser.add_argument("--key", metavar="FILE", help="the file of the gallery's key")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s); others need --keys")
    parser.add_argument("--port", type=int, default=8000, help="(default: %(default)s); 0: any free one, see the log")
    parser.add_argument("--keys", metavar="FILE", help="YAML, a list of the clients' keys as new-key prints them; read at the start")
    parser.add_argument("--max-bytes", type=int, default=10_000_000, help="of a request (default: %(default)s)")
    parser.add_argument("--max-pixels", type=int, default=25_000_000, help="of a picture (default: %(default)s)")
    parser.add_argument("--max-requests", type=int, default=32, help="at once; further ones get 429 (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="pictures in one call of the models (default: %(default)s)")
    return parser


def arguments() -> Any:
    parser = options()
    args = parser.parse_args()
    if (args.action is None) != (args.name is None):
        parser.error("expected new-key with the NAME of the key")
    if args.action is None and not (args.detector and args.embedder):
        parser.error("expected --detector and --embedder, or new-key NAME")
    return args


def main() -> int:
    args = arguments()
    try:
        from ppface.serve import journal, server
        from ppface.serve.app import create_app
        from ppface.serve.keys import new_key, read_keys
        from ppface.serve.settings import Limits, Settings
    except ImportError as error:
        raise UserError(f'ppface serve needs {PACKAGES}: pip install "ppface[serve]" ({error})') from None
    if args.action:
        key, entry = new_key(args.name, args.scopes, args.rate)
        print(entry, end="")
        print(f"key: {key}\nIt is shown this once; the entry for the file of keys holds its digest alone.", file=sys.stderr)
        return 0
    limits = Limits(bytes=args.max_bytes, pixels=args.max_pixels, requests=args.max_requests, batch=args.batch)
    keys = read_keys(args.keys) if args.keys else None
    with server.listen(args.host, args.port, keys is not None) as listening:
        pipeline, landmarks, identity = _models(args)
        gallery = _gallery(args, identity) if args.gallery else None
        try:
            settings = Settings(pipeline, _short(args.detector), _short(args.embedder), landmarks, gallery, keys, limits)
            journal.to_stderr()
            server.serve(create_app(settings), listening, limits)
        finally:
            if gallery is not None:
                gallery.close()
    return 0


def _short(source: str) -> str:
    """How clients see a model: without the folders of this machine."""
    return source if source.startswith("zoo:") else Path(source).name


def _models(args: Any) -> tuple[Any, int, Any]:
    """(pipeline, landmarks of a face, identity for a gallery), run once with each size of a batch, whose first run prepares kernels."""
    import numpy as np

    from ppface import predict
    from ppface.commands._gallery_models import identity_of

    model, origin = predict.open_predictor(args.embedder, threads=args.threads)
    detector: Any = predict.load(args.detector, threads=args.threads)
    mark: Any = predict.load(args.landmarks, threads=args.threads) if args.landmarks else None
    embedder: Any = predict.of_predictor(model)
    pipeline = predict.FacePipeline(detector, embedder, mark, args.align, args.min_score, args.flip, threads=args.threads)
    pipeline([np.zeros((480, 640, 3), np.uint8)])
    for count in range(1, args.batch + 1):
        model({"image": np.zeros((count, 3, *pipeline.size), np.uint8)})
    points = mark or detector
    height, width = points.predict.test_size.of(480, 640)
    answer = points.predict({"image": np.zeros((1, 3, height, width), np.uint8)})
    landmarks = answer["landmarks"].shape[-2] if "landmarks" in answer else 0
    return pipeline, landmarks, identity_of(model, origin, pipeline)


def _gallery(args: Any, identity: Any) -> Any:
    from ppface.gallery import Gallery, read_key
    from ppface.gallery.backend import exists
    from ppface.gallery.database import ExistsError

    key = read_key(args.key) if args.key else None
    if not exists(args.gallery):
        with contextlib.suppress(ExistsError):  # another process has just made it
            Gallery.create(args.gallery, identity, key).close()
    return Gallery(args.gallery, key, identity)
