"""Finds faces in pictures of any size, with a live or an exported model."""

import os
import time
from typing import Any, Literal

import cv2
import numpy as np

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture
from ppface.ops.boxes import clip
from ppface.ops.resize import Placement, TestSize
from ppface.ops.two_runs import merged
from ppface.predict.face import Face


class FaceDetector:
    """Finds the faces of pictures.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> arrays by name; its `test_size` is the model's test policy.

    Attributes:
        seconds: latency of the last picture by stage: "pre" (resizing), "run" (the model) and "post"; without decoding the file.
    """

    def __init__(self, predict: Any):
        self.predict = predict
        self.seconds: dict[str, float] = {}

    def __call__(self, image: np.ndarray | str | os.PathLike, size: Literal["native"] | tuple[int, int] | None = None) -> list[Face]:
        """The faces of one picture, best first.

        Args:
            image: (H, W, 3) uint8 RGB, or the path of a picture.
            size: None follows the model's test policy, "native" runs the picture unresized, (height, width) resizes it:
                bilinear, or by area averaging below a quarter of its pixels.

        Raises:
            DataError: not such an array, or a picture that cannot be read.
        """
        pixels = Picture.given(image).decode()
        start = time.perf_counter()
        policy = self._policy(size)
        places = policy.places(*pixels.shape[:2])
        inputs = [np.stack(cv2.split(place.apply(pixels)))[None] for place in places]  # several times faster than a transposed copy
        prepared = time.perf_counter()
        answers = [self.predict({"image": batch}) for batch in inputs]
        ran = time.perf_counter()
        runs = [_rows(answer, place) for answer, place in zip(answers, places, strict=True)]
        rows = merged(runs[0], runs[1], policy.large / places[0].scale) if policy.coarser else runs[0]
        faces = _faces(rows, pixels.shape[:2], "landmarks" in answers[0])
        self.seconds = {"pre": prepared - start, "run": ran - prepared, "post": time.perf_counter() - ran}
        return faces

    def _policy(self, size: Any) -> TestSize:
        if size is None:
            return self.predict.test_size
        if isinstance(size, str) and size == "native":
            return TestSize()
        if not (isinstance(size, tuple | list) and len(size) == 2 and min(size) >= 1):
            raise DataError(f"size: expected None, 'native' or (height, width), received {size!r}")
        return TestSize("stretch", (int(size[0]), int(size[1])))


def _rows(answer: dict[str, np.ndarray], place: Placement) -> np.ndarray:
    """The faces of one run, (N, 5 + 2K): box, score and landmarks, in pixels of the picture."""
    boxes, scores = answer["boxes"], answer["scores"]
    points = answer.get("landmarks", np.zeros((len(boxes), 0, 2)))
    points = place.back(points).reshape(len(boxes), 2 * points.shape[1])
    return np.concatenate([place.rows_back(boxes), scores[:, None], points], axis=1)


def _faces(rows: np.ndarray, picture: tuple[int, int], landmarks: bool) -> list[Face]:
    """Rows of a picture of (height, width) as faces, best first."""
    boxes = clip(rows[:, :4], picture)
    inside = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)  # drops boxes that lie wholly outside the picture
    order = [i for i in np.argsort(-rows[:, 4], kind="stable") if inside[i]]
    return [Face(tuple(boxes[i].tolist()), float(rows[i, 4]), rows[i, 5:].reshape(-1, 2) if landmarks else None) for i in order]
