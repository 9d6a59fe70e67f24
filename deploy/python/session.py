"""One run over an input: finds or embeds faces frame by frame, draws and writes them, and keeps the time of every part."""

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
from media import Frame, MediaError, Writer, frames, read_picture

PARTS = ("pre", "run", "post")
WARM_UP = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every program that finds, embeds or compares faces in files."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-i", "--input", help="a picture, a folder of pictures, a video, or the number of a camera")
    what.add_argument("--compare", nargs=2, metavar="PICTURE", help="tell how alike two aligned faces are")
    parser.add_argument("--output", help="folder for the drawn pictures or the drawn video, and for faces.json")
    parser.add_argument("--json", metavar="FILE", help="where to write the faces (default: faces.json in the output folder)")
    parser.add_argument("--threshold", type=number, help="leave out faces that score less (default: 0.5); to compare: one person above")
    parser.add_argument("--flip", action="store_true", help="add the embedding of the mirrored picture")
    parser.add_argument("--resize", action="store_true", help="embed pictures that have not the model's size, stretched")
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    parser.add_argument("--repeat", type=int, default=1, help="find the faces of every frame as many times, to measure latency")
    parser.add_argument("--frames", type=int, help="stop after as many frames (a camera has no end)")


def number(text: str) -> float:
    """An option's number; against what is none, everything would be smaller and nothing larger."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def process(find: Any, options: argparse.Namespace, read: Callable[[Path], np.ndarray] = read_picture, broken: Any = MediaError) -> int:
    """Runs over the input and prints what was found and how long it took, or compares two pictures.

    Args:
        find: image -> faces, best first; its `seconds` tells the time of the last call by part.
        options: see `add_options`.
        read: reads a picture file.
        broken: the exceptions by which `read` and `find` refuse a picture: it is named and skipped.

    Returns:
        the exit code: 0, or 3 where a picture was broken.

    Raises:
        MediaError: an input or output that cannot be used at all.
    """
    _set_up(find, options)
    if options.compare:
        return compare(find, options, read, broken)
    source = frames(options.input, read)
    source = itertools.chain([next(source)], source)  # an input that is not there is told before anything is written
    write = Writer(options.output, options.input) if options.output else None
    session = Session(find, 0.5 if options.threshold is None else options.threshold, max(1, options.repeat), write)
    try:
        for frame in itertools.islice(source, options.frames):
            name = ""  # a picture that cannot be read is named already
            try:
                image = frame.read()
                name = f"{frame.name}: "
                session.take(frame, image)
            except broken as error:
                print(f"skipped: {name}{error}", file=sys.stderr, flush=True)
                session.refused += 1
    except KeyboardInterrupt:  # as a camera's user ends it: what was found is kept
        print("stopped", file=sys.stderr)
    finally:
        if write:
            write.close()
    _save(session.records, options)
    print(f"{len(session.records)} read, {sum(len(record['faces']) for record in session.records)} faces, {session.refused} broken")
    if session.clock:
        print(table(session.clock))
    return MediaError.exit_code if session.refused else 0


def _set_up(find: Any, options: argparse.Namespace) -> None:
    for name in ("flip", "resize"):
        if getattr(options, name):
            if not embeds(find):
                raise MediaError(f"--{name}: expected a model with the output 'embedding', this one finds faces")
            setattr(find, name, True)


class Session:
    """What a run has found so far.

    Args:
        find, threshold, repeat: see `process` and `add_options`.
        write: (frame, drawn image) -> None, or None where nothing is written.

    Attributes:
        records: a mapping a frame, as written to JSON.
        clock: seconds by part, a row for every time a frame was looked at.
        refused: how many pictures were broken.
    """

    def __init__(self, find: Any, threshold: float, repeat: int, write: Writer | None):
        self.find, self.threshold, self.repeat, self.write = find, threshold, repeat, write
        self.records: list[dict[str, Any]] = []
        self.clock: list[list[float]] = []
        self.refused = 0

    def take(self, frame: Frame, image: np.ndarray) -> None:
        """Finds, tells, draws and writes the faces of one frame."""
        if not self.clock:
            for _ in range(WARM_UP):  # kernels are prepared by the first runs, which no later picture pays for
                self.find(image)
        for _ in range(self.repeat):
            found = self.find(image)
            self.clock.append([self.find.seconds[part] for part in PARTS])
        faces = [face for face in found if face.score >= self.threshold]
        self.records.append(_record(frame, image, faces))
        if frame.number is None:
            print(f"{frame.name}: {len(faces)} face{'s' * (len(faces) != 1)}")
        if self.write and not embeds(self.find):
            self.write(frame, draw(image, faces))


def table(clock: list[list[float]]) -> str:
    """Seconds of pre, run and post, a row a picture -> mean, p50 and p99 of each and of the whole, in ms."""
    times = np.array(clock) * 1000
    times = np.concatenate([times, times.sum(axis=1, keepdims=True)], axis=1)
    lines = [f"{'ms':<6}{'mean':>9}{'p50':>9}{'p99':>9}"]
    for name, column in zip((*PARTS, "whole"), times.T, strict=True):
        lines.append(f"{name:<6}{column.mean():>9.2f}{np.quantile(column, 0.5):>9.2f}{np.quantile(column, 0.99):>9.2f}")
    return "\n".join(lines)


def complain(error: Exception) -> int:
    """Prints a mistake of the user as one line, and returns its exit code."""
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
