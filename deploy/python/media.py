"""Reads pictures, folders, videos and cameras as a sequence of frames, and writes drawn frames. Pixels are uint8 RGB throughout."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault(
    "OPENCV_IO_MAX_IMAGE_PIXELS", "100000000"
)  # more pixels are rejected as a decompression bomb; read when cv2 is imported

import cv2
import numpy as np

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
# a marker in a JPEG's scan: not a stuffed 0xff, a restart marker or a fill byte
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class MediaError(Exception):
    """An input or output that cannot be used. The message is one line for the user."""

    exit_code = 3


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
        MediaError: not a picture, or a truncated one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: cannot read the picture: {error.strerror}") from None
    if not _is_complete(data):
        raise MediaError(f"{path}: broken picture: it is truncated")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise MediaError(f"{path}: broken picture: {error.err}") from None
    if pixels is None:
        raise MediaError(f"{path}: not a picture that OpenCV can read")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def frames(source: str, read: Callable[[Path], np.ndarray] = read_picture) -> Iterator[Frame]:
    """The frames of an input: one picture, all pictures of a folder and its subfolders, a video, or a camera (a number).

    Raises:
        MediaError: no such input, a folder without pictures, or a video or camera that cannot be opened.
    """
    path = Path(source)
    if source.isdigit() and not path.exists():
        yield from _video(cv2.VideoCapture(int(source)), f"camera{source}")
    elif path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES and file.is_file())
        if not files:
            raise MediaError(f"{source}: no pictures in this folder; expected files that end with {' '.join(PICTURES)}")
        for file in files:
            yield Frame(str(file.relative_to(path)), lambda file=file: read(file))
    elif not path.is_file():
        raise MediaError(f"{source}: no such input; expected a picture, a folder, a video or the number of a camera")
    elif path.suffix.lower() in VIDEOS:
        yield from _video(cv2.VideoCapture(source), source)
    else:
        yield Frame(path.name, lambda: read(path))


class Writer:
    """Writes drawn frames to a folder: pictures under their own names, videos as .mp4.

    Args:
        folder: created if it does not exist.
        source: the input, which is never overwritten.

    Raises:
        MediaError: a folder that cannot be written, or that contains the input.
    """

    def __init__(self, folder: str, source: str):
        self.folder = Path(folder)
        origin = Path(source).resolve()
        if self.folder.resolve() in (origin, origin.parent) and origin.exists():
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
        if file.suffix.lower() not in (".jpg", ".jpeg", ".png", ".bmp", ".webp"):
            file = file.with_name(file.name + ".jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(cv2.imencode(file.suffix, pixels)[1].tobytes())
        except (OSError, cv2.error) as error:
            raise MediaError(f"{file}: cannot write the picture: {error}") from None

    def _add(self, frame: Frame, pixels: np.ndarray) -> None:
        if self._video is None:
            file = self.folder / f"{Path(frame.name).stem}.mp4"
            size = (pixels.shape[1], pixels.shape[0])
            self._video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), frame.rate, size)
            if not self._video.isOpened():
                raise MediaError(f"{file}: cannot write the video")
        self._video.write(pixels)

    def close(self) -> None:
        """Finishes the video, if any; without this it cannot be played."""
        if self._video is not None:
            self._video.release()


def _video(capture: cv2.VideoCapture, name: str) -> Iterator[Frame]:
    try:
        success, pixels = capture.read()
        if not success:
            raise MediaError(f"{name}: cannot open this video or camera")
        rate = capture.get(cv2.CAP_PROP_FPS)
        number = 0
        while success:
            image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
            yield Frame(name, lambda image=image: image, number, rate if 1 <= rate <= 240 else 25.0)
            success, pixels = capture.read()
            number += 1
    finally:
        capture.release()


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
