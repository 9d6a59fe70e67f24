"""Reads pictures, folders, videos and cameras as a sequence of frames, and writes drawn frames. Pixels are uint8 RGB throughout."""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import picture_files
from picture_limit import MediaError, check_memory, check_picture
from video_container import lacks_bytes

WRITTEN = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # endings that drawn pictures keep; others get .jpg
COUNTED = (".mp4", ".m4v", ".mov", ".avi")  # their headers count the frames; of other videos OpenCV only estimates the number
# a marker in a JPEG's scan: not a stuffed 0xff, a restart marker or a fill byte
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class FullDiskError(MediaError):
    """An output that cannot be written, for a reason that holds for the following ones too."""


@dataclass(frozen=True)
class Frame:
    """A picture, or one frame of a video or camera.

    Attributes:
        name: for messages and files; for a picture in a folder, its path relative to the folder.
        read: () -> (H, W, 3) uint8 RGB; raises if the picture is broken.
        number: index of the frame in a video or of a camera; None for pictures.
        rate: frames per second of the video or camera.
    """

    name: str
    read: Callable[[], np.ndarray]
    number: int | None = None
    rate: float = 25.0


def read_picture(path: Path) -> np.ndarray:
    """A picture file, upright by its EXIF orientation.

    OpenCV silently fills a truncated picture with grey, so this function checks its end. Damage in the middle of a JPEG is not detected.

    Raises:
        MediaError: not a picture, a truncated one, or one beyond the limit of memory.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot read the picture: {error.strerror}") from None
    if not _is_complete(data):
        raise MediaError(f"{path}: broken picture: it is truncated")
    check_picture(data, str(path))
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise MediaError(f"{path}: broken picture: {error.err}") from None
    if pixels is None:
        raise MediaError(f"{path}: not a picture that OpenCV can read")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def frames(source: str, read: Callable[[Path], np.ndarray] = read_picture, output: str | None = None) -> Iterator[Frame]:
    """The frames of an input: one picture, all pictures of a folder and its subfolders, a video, or a camera (a number).

    What a folder contains besides pictures is counted in one line on standard error.

    Args:
        source: the input.
        read: reads a picture file.
        output: a folder whose pictures are results of an earlier run, not inputs.

    Raises:
        MediaError: no such input, a folder without pictures, or a video or camera that cannot be opened; after its last frame, a video
            that ends before the number of frames in its header, or whose file is incomplete. Transport and program streams (.ts, .mpg,
            .vob) that were cut between two packets are not recognised.
    """
    path = Path(source)
    if source.isdigit() and not path.exists():
        yield from _video(cv2.VideoCapture(int(source)), f"camera{source}", f"{source}: cannot open this camera")
    elif path.is_dir():
        for file in _pictures(path, output):
            yield Frame(file, lambda file=file: read(path / file))
    elif not path.is_file():
        raise MediaError(f"{source}: no such input; expected a picture, a folder, a video or the number of a camera")
    elif picture_files.is_picture(path.name) or cv2.haveImageReader(os.fsencode(path)):
        yield Frame(path.name, lambda: read(path))
    else:
        refusal = f"{source}: neither a picture nor a video that OpenCV can open: is it complete?"
        yield from _video(cv2.VideoCapture(os.fsencode(path)), source, refusal, path)


def _pictures(folder: Path, output: str | None) -> list[str]:
    """The pictures of a folder, as paths relative to it; a line on standard error says what was left out."""
    try:
        found = picture_files.find(folder, output)
    except OSError as error:
        raise MediaError(f"{error.filename}: cannot read this folder: {error.strerror}") from None
    left_out = found.summary()
    if not found.files:
        there = f"left out: {left_out}" if left_out else "it is empty"
        raise MediaError(f"{folder}: no pictures in this folder ({there}); expected files that end with {' '.join(picture_files.ENDINGS)}")
    if left_out:
        print(f"{folder}: left out: {left_out}", file=sys.stderr, flush=True)
    return found.files


class Writer:
    """Writes drawn frames to a folder: pictures under their own names, videos as .mp4.

    Args:
        folder: created if it does not exist.
        source: the input, which is never overwritten.

    Raises:
        MediaError: a folder that cannot be written, or in which pictures would be written over those of the input.
    """

    def __init__(self, folder: str, source: str):
        self.folder = Path(folder)
        self._origin = Path(source).resolve()
        inputs = self._origin if self._origin.is_dir() else self._origin.parent
        if self.folder.resolve() == inputs and self._origin.exists():
            raise MediaError(f"{folder}: expected an output folder other than the input's, whose pictures would be overwritten")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"{folder}: cannot write there: {error.strerror}") from None
        self._video: cv2.VideoWriter | None = None

    def __call__(self, frame: Frame, image: np.ndarray) -> None:
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if frame.number is not None:
            self._add(frame, pixels)
            return
        file = self.folder / frame.name
        if file.suffix.lower() not in WRITTEN:
            file = file.with_name(file.name + ".jpg")
        if self._is_input(file):
            raise MediaError(f"{file}: this drawn picture would be written over the input: choose another output folder")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(cv2.imencode(file.suffix, pixels)[1].tobytes())
        except cv2.error as error:
            raise MediaError(f"{file}: cannot write the picture: {error.err}") from None
        except OSError as error:
            kind = MediaError if error.errno == errno.ENAMETOOLONG else FullDiskError
            raise kind(f"{file}: cannot write the picture: {error.strerror}") from None

    def _is_input(self, file: Path) -> bool:
        """Whether a file to be written is the input, or lies in the input folder but not in an output folder inside it."""
        file = file.resolve()
        inside = self._origin in file.parents and self._origin not in self.folder.resolve().parents
        return file == self._origin or inside

    def _add(self, frame: Frame, pixels: np.ndarray) -> None:
        if self._video is None:
            file = self.folder / f"{Path(frame.name).stem}.mp4"
            size = (pixels.shape[1], pixels.shape[0])
            self._video = cv2.VideoWriter(os.fsencode(file), cv2.VideoWriter.fourcc(*"mp4v"), frame.rate, size)
            if not self._video.isOpened():
                raise MediaError(f"{file}: cannot write the video")
        self._video.write(pixels)

    def close(self) -> None:
        """Finishes the video, if any; without this it cannot be played."""
        if self._video is not None:
            self._video.release()


def _video(capture: cv2.VideoCapture, name: str, refusal: str, file: Path | None = None) -> Iterator[Frame]:
    """The frames; `refusal` is the message if there is not even one; a camera has no file."""
    number, seconds = 0, 0.0
    try:
        size = tuple(int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        check_memory(name, size, "video", 0)
        success, pixels = capture.read()
        if not success:
            raise MediaError(refusal)
        expected, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        while success:
            image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield Frame(name, lambda image=image: image, number, rate if 1 <= rate <= 240 else 25.0)
            success, pixels = capture.read()
            number += 1
    finally:
        capture.release()
    lacks = lacks_bytes(file) if file else False
    cut = lacks is not False and _is_cut(Path(name).suffix.lower() in COUNTED, number, seconds, expected, rate)
    if cut or lacks:
        states = f"of the {expected:.0f} frames that its header states" if cut else "frames, and its file is incomplete"
        kept = f"the results of these {number} frames are kept"
        raise MediaError(f"{name}: the video ends after {number} {states}: it is truncated or damaged; {kept}")


def _is_cut(counted: bool, number: int, seconds: float, expected: float, rate: float) -> bool:
    """Whether a video ended too early: `number` frames, the last of them at `seconds`, while `expected` were to come at `rate` a second.

    An expected number that is only an estimate is the file's duration times the rate. The duration is that of the sound too, which
    may be longer: a tenth of it, at most a second, may lack frames.
    """
    if number >= expected - 1 or rate <= 0:  # also a camera, or a file that does not know: their number is negative
        return False
    duration, shown = expected / rate, max(seconds + 1 / rate, number / rate)  # some files have no times
    return counted or duration - shown > max(1.5 / rate, min(1.0, duration / 10))


def _is_complete(data: bytes) -> bool:
    """Whether a JPEG, PNG or WebP is not truncated; other formats are left to their decoder."""
    if data.startswith(b"\xff\xd8\xff"):
        return _has_end_of_image(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" in data
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True


def _has_end_of_image(data: bytes) -> bool:
    """Whether the end-of-image marker is reached from marker to marker, skipping embedded thumbnails, which have their own."""
    position = 2
    while marker := _MARKER.search(data, position):
        kind = data[marker.start() + 1]
        if kind == 0xD9:
            return True
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False
