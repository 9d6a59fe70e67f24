"""Finds the landmarks of faces with a live or an exported model: on a crop of one face, or on a photograph whose faces a detector found."""

import os
import time
from dataclasses import replace
from typing import Any

import numpy as np

from ppface.core.errors import DataError, WeightsError
from ppface.data.pictures.picture import Picture
from ppface.data.pictures.render import render
from ppface.data.transforms import geometry
from ppface.ops.face_crop import DETECTED_MARGIN, DETECTED_SHIFT, MARGIN, square
from ppface.predict.face import Face
from ppface.predict.face_detector import FaceDetector


class FaceLandmarker:
    """Finds the landmarks of faces in pictures.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"landmarks": (N, K, 2) in pixels of `image`}, with a `test_size` of mode "stretch".

    Attributes:
        crops: True: a picture without boxes is a crop of one face.
        seconds: latency of the last picture by stage: "pre" (cropping), "run" (the model) and "post"; without decoding the file.

    Raises:
        WeightsError: a model of another test mode.
    """

    crops = True

    def __init__(self, predict: Any):
        if predict.test_size.mode != "stretch":
            raise WeightsError(f"expected a landmark model with input.test: {{mode: stretch}}, received mode {predict.test_size.mode!r}")
        self.predict = predict
        self.seconds: dict[str, float] = {}

    def __call__(
        self, image: np.ndarray | str | os.PathLike, boxes: np.ndarray | None = None, margin: float = MARGIN, shift: float = 0.0
    ) -> list[Face]:
        """The faces of one picture, in the order of `boxes`, with landmarks in pixels of the picture and score 1.

        Args:
            image: (H, W, 3) uint8 RGB, or the path of a picture.
            boxes: (G, 4) x1, y1, x2, y2 around the landmarks of its faces; each is cropped as the evaluator `Landmarks` crops. None: the
                picture is a crop of one face, which is stretched to the model's size.
            margin: side of the square that is cropped, relative to the longer side of a box, > 0.
            shift: how far the square is moved down, relative to the longer side of a box.

        Raises:
            DataError: not such an array, a picture that cannot be read, or boxes of another shape, reversed, or not finite.
        """
        picture = Picture.of(image) if isinstance(image, np.ndarray) else Picture.open(image)
        picture = Picture.of(picture.decode(), picture.name)
        start = time.perf_counter()
        height, width = picture.size
        whole = np.array([[0, 0, width, height]], np.float64)
        given = whole if boxes is None else _checked(boxes)
        size = self.predict.test_size.size
        areas = given if boxes is None else [square(box, margin, shift) for box in given]
        views = [render(picture, geometry.view(area, size), size) for area in areas]
        prepared = time.perf_counter()
        found = self.predict({"image": np.stack([pixels for pixels, _ in views])})["landmarks"] if views else []
        ran = time.perf_counter()
        faces = []
        for box, points, (_, matrix) in zip(given, found, views, strict=True):
            faces.append(Face(tuple(box.tolist()), 1.0, geometry.points(np.linalg.inv(matrix), points)))
        self.seconds = {"pre": prepared - start, "run": ran - prepared, "post": time.perf_counter() - ran}
        return faces


class LandmarkedDetector:
    """A detector, and a landmark model on each face that it found: its landmarks replace the detector's.

    Args:
        find: the detector.
        landmarks: of the landmark model.
        margin: side of the square that is cropped, relative to the longer side of a box, > 0.
        shift: how far it is moved down, relative to the longer side. The defaults are for boxes from forehead to chin, as detectors find
            them; for boxes around landmarks they are 1.2 and 0.
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

    def __call__(self, image: np.ndarray | str | os.PathLike) -> list[Face]:
        """The faces of one picture, best first; arguments and errors as `FaceDetector`."""
        pixels = image if isinstance(image, np.ndarray) else Picture.open(image).decode()
        faces = [face for face in self.find(pixels) if face.score >= self.threshold]
        marked = self.landmarks(pixels, np.array([face.box for face in faces]).reshape(-1, 4), self.margin, self.shift)
        self.seconds = {stage: self.find.seconds[stage] + more for stage, more in self.landmarks.seconds.items()}
        return [replace(face, landmarks=other.landmarks) for face, other in zip(faces, marked, strict=True)]


def _checked(boxes: np.ndarray) -> np.ndarray:
    """(G, 4) boxes; an empty list or array is none."""
    expected = "boxes: expected (G, 4) x1, y1, x2, y2 in pixels of the picture"
    try:
        given = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{expected}, received {type(boxes).__name__}") from None
    if given.size and (given.ndim != 2 or given.shape[1] != 4):
        raise DataError(f"{expected}, received shape {given.shape}")
    given = given.reshape(-1, 4)
    if not np.isfinite(given).all():
        raise DataError(f"{expected}, received numbers that are not finite in row {int((~np.isfinite(given)).any(axis=1).argmax())}")
    if (reversed_ := (given[:, 2:] < given[:, :2]).any(axis=1)).any():
        row = int(reversed_.argmax())
        raise DataError(f"{expected}, received {' '.join(f'{side:g}' for side in given[row])} in row {row}, with x2 < x1 or y2 < y1")
    return given
