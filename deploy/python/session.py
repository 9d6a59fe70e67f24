"""One run over an input: finds or embeds faces frame by frame, draws and writes them, and measures the latency of every stage."""

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from comparison import compare, embeds
from drawing import draw
from landmarker import DETECTED_MARGIN, DETECTED_SHIFT, LandmarkedDetector
from media import Frame, FullDiskError, MediaError, Writer, frames, read_picture

THRESHOLD = 0.5  # lowest score of faces, unless `--threshold` says another
STAGES = ("pre", "run", "post")
WARM_UP_RUNS = 2
NAMED = ("name", "similarity", "track", "refusals")  # of faces with names, beside what all have


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of all programs that find, embed or compare faces in files."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-i", "--input", "--video", help="a picture, a folder of pictures, a video, or the number of a camera")
    source.add_argument("--compare", nargs=2, metavar="PICTURE", help="print the similarity of two aligned faces")
    parser.add_argument("--output", help="folder for the drawn pictures or the drawn video, and for faces.json")
    parser.add_argument("--json", metavar="FILE", help="where to write the faces (default: faces.json in the output folder)")
    parser.add_argument(
        "--threshold",
        type=number,
        help=f"lowest score of faces (default: {THRESHOLD}); with --compare: similarity above which it is the same person",
    )
    parser.add_argument("--flip", action="store_true", help="add the embedding of the mirrored picture")
    parser.add_argument(
        "--resize", action="store_true", help="stretch pictures of another size to the model's; otherwise they are an error"
    )
    parser.add_argument("--landmarks", metavar="MODEL", help="a landmark model, run on each face that the detector finds")
    parser.add_argument("--margin", type=number, help=f"side of its crop, relative to a box's longer side (default: {DETECTED_MARGIN})")
    parser.add_argument("--shift", type=number, help=f"how far the crop is moved down, relative to it (default: {DETECTED_SHIFT})")
    parser.add_argument("--threads", type=count, help="CPU threads (default: one per core)")
    parser.add_argument("--repeat", type=count, default=1, help="run every frame N times, to measure latency", metavar="N")
    parser.add_argument("--frames", type=count, help="stop after N frames (a camera has no end)", metavar="N")


def expand_home(value: Any) -> Any:
    """The value of an option with `~` at its start replaced by the home folder, which shells do not do in `--output=~/found`."""
    if isinstance(value, list):
        return [expand_home(item) for item in value]
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~/") else value


def number(text: str) -> float:
    """An option's number, which must be finite: every comparison with NaN is false."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def count(text: str) -> int:
    """An option's whole number from 1 on."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, received {text!r}")
    return value


def process(
    find: Any,
    options: argparse.Namespace,
    read: Callable[[Path], np.ndarray] = read_picture,
    broken: Any = MediaError,
    follow: Callable[[list, int | None], list] | None = None,
) -> int:
    """Runs over the input and prints what was found and how long it took, or compares two pictures.

    Args:
        find: image -> faces, best first; its `seconds` holds the latency of the last call by stage.
        options: see `add_options`.
        read: reads a picture file.
        broken: the exceptions that `read` and `find` raise for a broken picture, which is reported and skipped.
        follow: see Session.

    Returns:
        The exit code: 0, or 3 if a picture was broken.

    Raises:
        MediaError: an input or output that cannot be used at all, or a video that ends too early; the results so far are written if the
            disk allows it.
    """
    _set_up(find, options)
    if options.compare:
        return compare(find, options, read, broken)
    source = frames(options.input, read, options.output)
    source = itertools.chain([next(source)], source)  # fails for a missing input before anything is written
    write = Writer(options.output, options.input) if options.output else None
    session = Session(find, lowest_score(options), options.repeat, write, follow)
    failure = None
    try:
        for frame in itertools.islice(source, options.frames):
            name = ""  # the message of `read` names the picture already
            try:
                image = frame.read()
                name = f"{frame.name}: "
                session.process_frame(frame, image)
            except FullDiskError as error:
                failure = error
                break
            except broken as error:
                print(f"skipped: {name}{error}", file=sys.stderr, flush=True)
                session.broken += 1
    except KeyboardInterrupt:  # the usual way to stop a camera: results so far are kept
        print("stopped", file=sys.stderr)
    except MediaError as error:
        failure = error
    finally:
        if write:
            write.close()
    try:
        _save(session.records, options)
    except MediaError as error:
        failure = failure or error
    print(f"{len(session.records)} read, {sum(len(record['faces']) for record in session.records)} faces, {session.broken} broken")
    if session.latencies:
        print(table(session.latencies))
    if failure:
        raise failure
    return MediaError.exit_code if session.broken else 0


def with_landmarks(find: Any, landmarks: Any, options: argparse.Namespace, chain: Callable = LandmarkedDetector) -> Any:
    """The detector `find` with a landmark model on each of its faces of at least the lowest score.

    Raises:
        MediaError: a detector or a landmark model that is of another kind, or a margin that is not positive.
    """
    if embeds(find) or crops(find):
        raise MediaError("--landmarks: expected a model that finds faces before it, this one takes crops of faces")
    if not crops(landmarks):
        raise MediaError(f"--landmarks {options.landmarks}: expected a model of landmarks alone, this one has other outputs")
    if options.margin is not None and options.margin <= 0:
        raise MediaError(f"--margin: expected a number above 0, received {options.margin:g}")
    given = {name: getattr(options, name) for name in ("margin", "shift") if getattr(options, name) is not None}
    return chain(find, landmarks, threshold=lowest_score(options), **given)


def lowest_score(options: argparse.Namespace) -> float:
    """Of the faces that are shown."""
    return THRESHOLD if options.threshold is None else options.threshold


def crops(find: Any) -> bool:
    """Whether a picture is a crop of one face, as `find` finds landmarks alone."""
    return getattr(find, "crops", False)


def _set_up(find: Any, options: argparse.Namespace) -> None:
    for name in ("margin", "shift"):
        if getattr(options, name) is not None and not options.landmarks:
            raise MediaError(f"--{name}: it is of the crops for a landmark model: give one by --landmarks")
    for name in ("flip", "resize"):
        if getattr(options, name):
            if not embeds(find):
                kind = f"finds {'landmarks' if crops(find) else 'faces'}{' and resizes pictures itself' * (name == 'resize')}"
                raise MediaError(f"--{name}: expected a model with the output 'embedding', this one {kind}: leave --{name} out")
            setattr(find, name, True)


class Session:
    """The results of a run so far.

    Args:
        find, threshold, repeat: see `process` and `add_options`.
        write: (frame, drawn image) -> None, or None to write nothing.
        follow: (faces of a frame, its number or None for a picture) -> the faces with names; called once a frame.

    Attributes:
        records: one mapping per frame, as written to JSON.
        latencies: seconds by stage, one row per run of a frame.
        broken: number of broken pictures.
    """

    def __init__(self, find: Any, threshold: float, repeat: int, write: Writer | None, follow: Callable | None = None):
        self.find, self.threshold, self.repeat, self.write, self.follow = find, threshold, repeat, write, follow
        self.records: list[dict[str, Any]] = []
        self.latencies: list[list[float]] = []
        self.broken = 0

    def process_frame(self, frame: Frame, image: np.ndarray) -> None:
        """Finds, prints, draws and writes the faces of one frame."""
        if not self.latencies:
            for _ in range(WARM_UP_RUNS):  # the first runs prepare kernels, which must not count as latency
                self.find(image)
        for _ in range(self.repeat):
            found = self.find(image)
            self.latencies.append([self.find.seconds[stage] for stage in STAGES])
        faces = [face for face in found if face.score >= self.threshold]
        if self.follow:
            faces = self.follow(faces, frame.number)
        self.records.append(_record(frame, image, faces))
        if frame.number is None:
            print(f"{frame.name}: {len(faces)} face{'s' * (len(faces) != 1)}")
        if self.write and not embeds(self.find):
            self.write(frame, draw(image, faces, boxes=not crops(self.find)))


def table(latencies: list[list[float]]) -> str:
    """Seconds of pre, run and post, one row per picture -> mean, p50 and p99 of each and of their sum, in ms."""
    times = np.array(latencies) * 1000
    times = np.concatenate([times, times.sum(axis=1, keepdims=True)], axis=1)
    lines = [f"{'ms':<6}{'mean':>9}{'p50':>9}{'p99':>9}"]
    for name, column in zip((*STAGES, "total"), times.T, strict=True):
        lines.append(f"{name:<6}{column.mean():>9.2f}{np.quantile(column, 0.5):>9.2f}{np.quantile(column, 0.99):>9.2f}")
    return "\n".join(lines)


def report_error(error: Exception) -> int:
    """Prints a user's mistake as one line, and returns its exit code."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return getattr(error, "exit_code", 1)


def _record(frame: Frame, image: np.ndarray, faces: list) -> dict[str, Any]:
    described = []
    for face in faces:
        entry: dict[str, Any] = {"box": [round(value, 2) for value in face.box], "score": round(face.score, 5)}
        if face.landmarks is not None:
            entry["landmarks"] = np.round(face.landmarks, 2).tolist()
        if face.embedding is not None:
            entry["embedding"] = [float(f"{value:.7g}") for value in face.embedding]
        if face.variance is not None:
            entry["variance"] = [float(f"{value:.7g}") for value in face.variance]
        if face.quality is not None:
            entry["quality"] = float(f"{face.quality:.7g}")
        for name in NAMED:
            if getattr(face, name, None):
                entry[name] = getattr(face, name)
        described.append(entry)
    numbered = {} if frame.number is None else {"frame": frame.number}
    return {"image": frame.name, **numbered, "size": list(image.shape[:2]), "faces": described}


def _save(records: list[dict[str, Any]], options: argparse.Namespace) -> None:
    file = Path(options.json) if options.json else Path(options.output) / "faces.json" if options.output else None
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(records, indent=1), encoding="utf-8")
    except OSError as error:
        raise MediaError(f"{file}: cannot write the faces: {error.strerror}") from None
