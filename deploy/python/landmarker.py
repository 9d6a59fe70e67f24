"""Finds the landmarks of faces with an exported model: needs numpy, OpenCV, PyYAML and a runtime, and nothing of ppface."""

import os
import time
from dataclasses import replace

import cv2
import numpy as np
from detector import ExportedModel, Face, FaceDetector, check_pixels
from runtimes import DESCRIPTION, ModelError

MARGIN = 1.2  # side of the square around landmarks, relative to the longer side of their box, as in training
DETECTED_MARGIN, DETECTED_SHIFT = 1.0, 0.15  # the same square around the box of a detector, which is larger and higher
FILL = (124, 116, 104)  # RGB outside the picture, as in training


class FaceLandmarker(ExportedModel):
    """Finds the landmarks of faces in pictures.

    Attributes:
        crops: True: a picture without boxes is a crop of one face.
    """

    needs = ("landmarks",)
    crops = True

    def __init__(self, folder: str | os.PathLike, threads: int | None = None, device: str = "cpu", runtime: str = "auto"):
        super().__init__(folder, threads, device, runtime)
        if (mode := self.about["input"]["test"]["mode"]) != "stretch":
            raise ModelError(f"{folder}/{DESCRIPTION}: expected a landmark model with input.test.mode 'stretch', received {mode!r}")

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None, margin: float = MARGIN, shift: float = 0.0) -> list[Face]:
        """(H, W, 3) uint8 RGB and (G, 4) boxes x1, y1, x2, y2 -> its faces, with landmarks in pixels of the picture and score 1.

        Without boxes the picture is a crop of one face, which is stretched to the model's size. `margin` and `shift`: see `square`.

        Raises:
            ValueError: pixels of another shape or type, or boxes of another shape, reversed, or not finite.
        """
        check_pixels(image)
        start = time.perf_counter()
        height, width = image.shape[:2]
        given = np.array([[0, 0, width, height]], np.float64) if boxes is None else _checked(boxes)
        areas = given if boxes is None else [square(box, margin, shift) for box in given]
        views = [crop(image, area, self.test_size(height, width)) for area in areas]
        prepared = time.perf_counter()
        found = self.run(np.stack([pixels for pixels, _, _ in views]))["landmarks"] if views else []
        ran = time.perf_counter()
        faces = []
        for box, points, (_, scale, shift) in zip(given, found, views, strict=True):
            faces.append(Face(tuple(box.tolist()), 1.0, (points - shift) / scale))
        self.seconds = {"pre": prepared - start, "run": ran - prepared, "post": time.perf_counter() - ran}
        return faces


class LandmarkedDetector:
    """A detector, and a landmark model on each face that it found: its landmarks replace the detector's.

    Args:
        find: the detector.
        landmarks: the landmark model.
        threshold: faces with a lower score are left out; a detector may return hundreds of them, each of which takes a run of the
            landmark model.

    Attributes:
        seconds: latency of the last picture by stage, of both models together.
    """

    def __init__(
        self,
        find: FaceDetector,
        landmarks: FaceLandmarker,
        margin: float = DETECTED_MARGIN,
        shift: float = DETECTED_SHIFT,
        threshold: float = 0.0,
    ):
        self.find, self.landmarks, self.margin, self.shift, self.threshold = find, landmarks, margin, shift, threshold
        self.seconds: dict[str, float] = {}

    def __call__(self, image: np.ndarray) -> list[Face]:
        """(H, W, 3) uint8 RGB -> faces, best first."""
        faces = [face for face in self.find(image) if face.score >= self.threshold]
        marked = self.landmarks(image, np.array([face.box for face in faces]).reshape(-1, 4), self.margin, self.shift)
        self.seconds = {stage: self.find.seconds[stage] + more for stage, more in self.landmarks.seconds.items()}
        return [replace(face, landmarks=other.landmarks) for face, other in zip(faces, marked, strict=True)]


def _checked(boxes: np.ndarray) -> np.ndarray:
    """(G, 4) boxes; an empty list or array is none."""
    expected = "boxes: expected (G, 4) x1, y1, x2, y2 in pixels of the picture"
    try:
        given = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{expected}, received {type(boxes).__name__}") from None
    if given.size and (given.ndim != 2 or given.shape[1] != 4):
        raise ValueError(f"{expected}, received shape {given.shape}")
    given = given.reshape(-1, 4)
    if not np.isfinite(given).all():
        raise ValueError(f"{expected}, received numbers that are not finite in row {int((~np.isfinite(given)).any(axis=1).argmax())}")
    if (reversed_ := (given[:, 2:] < given[:, :2]).any(axis=1)).any():
        row = int(reversed_.argmax())
        raise ValueError(f"{expected}, received {' '.join(f'{side:g}' for side in given[row])} in row {row}, with x2 < x1 or y2 < y1")
    return given


def square(box: np.ndarray, margin: float = MARGIN, shift: float = 0.0) -> np.ndarray:
    """(4,) x1, y1, x2, y2 -> the square about its middle, `margin` times as large as its longer side, lower by `shift` times it."""
    low, high = box[:2], box[2:]
    longer = max(1.0, *(high - low))
    middle, half = (low + high) / 2 + [0, shift * longer], margin * longer / 2
    return np.concatenate([middle - half, middle + half])


def crop(image: np.ndarray, area: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A rectangle x1, y1, x2, y2 of the picture at `size` (height, width), cut at whole pixels, filled where it reaches beyond the picture.

    The pixels are those of training: a large face is first reduced by 2, 4 or 8, then resized.

    Returns:
        (3, height, width) uint8, and scale and shift, (2,) each, from the picture to the crop: x' = scale * x + shift
    """
    sides = np.array(size[::-1])
    scale = sides / (area[2:] - area[:2])
    factor = next(factor for factor in (8, 4, 2, 1) if factor == 1 or factor * scale.max() <= 1 + 1e-6)
    reduced, scale = _reduced(image, factor), scale * factor
    shift = -area[:2] * scale / factor
    canvas = np.full((*size, 3), FILL, np.uint8)
    spans = [_span(scale[axis], shift[axis], reduced.shape[1 - axis], sides[axis]) for axis in (0, 1)]
    (u1, u2, x1, x2), (v1, v2, y1, y2) = spans
    if x1 < x2 and y1 < y2:
        part = reduced[v1:v2, u1:u2]
        averaging = (u2 - u1) * (v2 - v1) > 4 * (x2 - x1) * (y2 - y1)
        resized = cv2.resize(part, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA if averaging else cv2.INTER_LINEAR)
        canvas[y1:y2, x1:x2] = resized
        scale = np.array([(x2 - x1) / (u2 - u1), (y2 - y1) / (v2 - v1)])
        shift = np.array([x1, y1]) - scale * [u1, v1]
    return np.stack(cv2.split(canvas)), scale / factor, shift


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` x `factor` pixels; the last row and column are repeated to fill the last squares."""
    if factor == 1:
        return image
    image = cv2.copyMakeBorder(image, 0, -image.shape[0] % factor, 0, -image.shape[1] % factor, cv2.BORDER_REPLICATE)
    return cv2.resize(image, (image.shape[1] // factor, image.shape[0] // factor), interpolation=cv2.INTER_AREA)


def _span(scale: float, shift: float, source: int, output: int) -> tuple[int, int, int, int]:
    """Along one axis: which whole pixels of the picture, from..to, fill which whole pixels of the crop, from..to."""
    start, stop = (min(max(edge, 0.0), output) for edge in (shift, scale * source + shift))
    x1, x2 = round(start), round(stop)
    if x1 == x2:
        return 0, 0, x1, x2
    u1 = min(max(round((start - shift) / scale), 0), source - 1)
    return u1, min(max(round((stop - shift) / scale), u1 + 1), source), x1, x2
