"""Runs an exported model, as a face detector: needs numpy, OpenCV, PyYAML and one of the runtimes, and nothing of ppface."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from runtimes import DESCRIPTION, FILES, ModelError, Run, first_usable, start, verify
from two_runs import merged

MODES = ("native", "stretch", "letterbox", "long_side", "short_side")  # how a picture enters the network, by inference.yml
GREY = 128  # around the picture in mode "letterbox"


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
        box: (x1, y1, x2, y2) in pixels of the picture.
        score: 0..1.
        landmarks: (K, 2) x, y in pixels of the picture, or None if the model predicts none.
        embedding: (D,) before L2 normalisation, or None for a detector.
        variance: (D,) of the unit embedding, or None if the model predicts none.
        quality: higher is better, or None if the model predicts none.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = None
    embedding: np.ndarray | None = None
    variance: np.ndarray | None = None
    quality: float | None = None


class ExportedModel:
    """An exported model of any kind. Not thread-safe: create one per thread.

    Args:
        folder: what ppface export wrote: the folder of one format, with inference.yml and the model's files, or one with a folder
            for each format and parity.json.
        threads: CPU threads; None: one per core.
        device: "cpu", or, with the runtime paddle, "gpu".
        runtime: "paddle", "onnxruntime", "openvino", or "auto": the fastest that is installed and works, by
            parity.json.

    Attributes:
        runtime: the one that was chosen.
        needs: names of the outputs that the model must have.
        about: inference.yml as plain values.
        seconds: latency of the last picture by stage: "pre", "run" and "post".

    Raises:
        ModelError: a folder without these files or with others than were exported, of an unknown format, or without these
            outputs; or no runtime can run it.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, folder: str | os.PathLike, threads: int | None = None, device: str = "cpu", runtime: str = "auto"):
        def opened(place: Path, name: str) -> tuple[str, dict[str, Any], Run]:
            about = read_description(place, name)
            if missing := [output for output in self.needs if output not in about["outputs"]]:
                has = ", ".join(about["outputs"])
                raise ModelError(f"{place / DESCRIPTION}: expected a model with the output {missing[0]!r}, this one has {has}")
            return name, about, start(name, verify(place, about["sha256"], name), about["outputs"], threads or cores(), device)

        self.runtime, self.about, self._run = first_usable(Path(folder), runtime, opened)
        self.seconds: dict[str, float] = {}
        self._names = self.about["outputs"]

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """(N, 3, H, W) uint8 RGB -> the model's outputs by name; for N = 0 arrays without rows."""
        if len(pixels):
            return dict(zip(self._names, self._run(pixels), strict=True))
        # runtimes fail or crash at an empty batch, so that the answer to one picture gives shapes and types
        return {name: rows[:0] for name, rows in self.run(np.zeros((1, *pixels.shape[1:]), pixels.dtype)).items()}

    def test_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture -> (height, width) at which it enters the network, as inference.yml says."""
        policy = self.about["input"]["test"]
        mode, size, longest = policy["mode"], policy["size"], policy["max_side"]
        if mode in ("stretch", "letterbox"):
            return size[0], size[1]
        scale = 1.0
        if mode != "native":
            scale = size[0] / (max if mode == "long_side" else min)(height, width)
        if longest:
            scale = min(scale, longest / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    @property
    def letterbox(self) -> bool:
        """Whether a picture of another aspect ratio gets grey borders."""
        return self.about["input"]["test"]["mode"] == "letterbox"

    def inner_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture -> (height, width) to which it is resized: in mode "letterbox" it just fits into `test_size`."""
        size = self.test_size(height, width)
        if not self.letterbox:
            return size
        scale = min(size[0] / height, size[1] / width)
        return max(1, round(height * scale)), max(1, round(width * scale))


class FaceDetector(ExportedModel):
    """Finds the faces of pictures."""

    needs = ("boxes", "scores")

    def __call__(self, image: np.ndarray) -> list[Face]:
        """(H, W, 3) uint8 RGB (cv2.imread gives BGR: convert it first) -> faces, best first.

        Raises:
            ValueError: no array, or pixels of another shape or type.
        """
        check_pixels(image)
        start = time.perf_counter()
        height, width = image.shape[:2]
        places = [(self.inner_size(height, width), self.test_size(height, width)), *self._coarser(height, width)]
        inputs = [np.stack(cv2.split(placed(image, inner, size)))[None] for inner, size in places]
        prepared = time.perf_counter()
        answers = [self.run(pixels) for pixels in inputs]
        ran = time.perf_counter()
        rows = [_rows(answer, inner, corner(inner, size), height, width) for answer, (inner, size) in zip(answers, places, strict=True)]
        if len(rows) == 2:
            scale = max(places[0][0]) / max(height, width)
            rows = [merged(*rows, self.about["input"]["test"]["large"] / scale)]
        faces = _faces(rows[0], height, width, "landmarks" in answers[0])
        self.seconds = {"pre": prepared - start, "run": ran - prepared, "post": time.perf_counter() - ran}
        return faces

    def _coarser(self, height: int, width: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """The size, twice, of the second run, if inference.yml states one for faces that are too large for the first."""
        fraction = self.about["input"]["test"].get("coarser", 0)
        if not fraction:
            return []
        fine = self.test_size(height, width)
        size = max(1, round(fine[0] * fraction)), max(1, round(fine[1] * fraction))
        return [(size, size)]

    def warm_up(self, height: int, width: int, times: int = 2) -> None:
        """Runs black pictures of this size, so that the first real one does not wait for kernels to be prepared."""
        for _ in range(times):
            self(np.zeros((height, width, 3), np.uint8))


def read_description(folder: Path, runtime: str = "paddle") -> dict[str, Any]:
    """inference.yml of an export as plain values.

    Raises:
        ModelError: no export, or one of another format.
    """
    files = [folder / DESCRIPTION, *(folder / name for name in FILES[runtime])]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ModelError(f"{folder}: expected an exported model, {', '.join(missing)} is missing")
    try:
        about = yaml.safe_load(files[0].read_text(encoding="utf-8"))
        known = about["format"] == 1 and isinstance(about["outputs"], list) and {"name", "test"} <= set(about["input"])
        known = known and isinstance(about["sha256"], dict)
        mode = about["input"]["test"].get("mode")
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise ModelError(f"{files[0]}: expected the description of an exported model in format 1: export the model again")
    if mode not in MODES:
        expected = f"expected input.test.mode to be one of {', '.join(MODES)}, received {mode!r}"
        raise ModelError(f"{files[0]}: {expected}: take deploy/python from the version that exported the model")
    return about


def check_pixels(image: np.ndarray) -> None:
    """Raises ValueError for anything but (H, W, 3) uint8: other numbers would give other boxes without a word."""
    if not isinstance(image, np.ndarray):
        hint = ": cv2.imread returns None for a file that is missing or no picture" if image is None else ""
        raise ValueError(f"expected pixels (H, W, 3), a NumPy array, received {type(image).__name__}{hint}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected pixels (H, W, 3) of uint8 in 0..255, RGB, received shape {image.shape} of {image.dtype}")


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3), bilinear, or by area averaging below a quarter of the pixels."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    averaging = image.shape[0] * image.shape[1] > 4 * height * width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if averaging else cv2.INTER_LINEAR)


def corner(inner: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """(y, x) of the upper left corner of a picture of size `inner` in the middle of the network's input."""
    return (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2


def placed(image: np.ndarray, inner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3): the picture resized to `inner`, in the middle of `size`, grey around it."""
    if inner == size:
        return resized(image, size)
    top, left = corner(inner, size)
    canvas = np.full((*size, 3), GREY, np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = resized(image, inner)
    return canvas


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rows(answer: dict[str, np.ndarray], inner: tuple[int, int], start: tuple[int, int], height: int, width: int) -> np.ndarray:
    """The model's output for one picture, (N, 5 + 2K) box, score and landmarks, mapped from the network input to the picture's pixels."""
    scale, offset = np.array([width / inner[1], height / inner[0]]), np.array(start[::-1])
    boxes = (answer["boxes"] - np.tile(offset, 2)) * np.tile(scale, 2)
    points = answer.get("landmarks", np.zeros((len(boxes), 0, 2)))
    points = ((points - offset) * scale).reshape(len(boxes), 2 * points.shape[1])
    return np.concatenate([boxes, answer["scores"][:, None], points], axis=1)


def _faces(rows: np.ndarray, height: int, width: int, landmarks: bool) -> list[Face]:
    boxes = np.clip(rows[:, :4], 0, [width, height, width, height])
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # drops boxes that lie wholly outside the picture
    order = [i for i in np.argsort(-rows[:, 4], kind="stable") if inside[i]]
    return [Face(tuple(boxes[i].tolist()), float(rows[i, 4]), rows[i, 5:].reshape(-1, 2) if landmarks else None) for i in order]
