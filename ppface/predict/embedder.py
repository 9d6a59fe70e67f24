"""Embeds pictures of one aligned face, with a live or an exported model."""

import os
import time
from typing import Any

import numpy as np

from ppface.data.pictures.picture import Picture
from ppface.ops.embedding import described
from ppface.ops.resize import aligned
from ppface.predict.face import Face


class FaceEmbedder:
    """Embeds pictures that show one aligned face each.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}; its `test_size` is the model's input size.
        flip: add the embedding of the mirrored picture.
        resize: stretch pictures of another size than the model's; otherwise they are an error, unless the model's test mode is
            "letterbox".

    Attributes:
        seconds: latency of the last picture by stage: "pre" (resizing), "run" (the model) and "post"; without decoding the file.
    """

    def __init__(self, predict: Any, flip: bool = False, resize: bool = False):
        self.predict, self.flip, self.resize = predict, flip, resize
        self.seconds: dict[str, float] = {}

    def __call__(self, image: np.ndarray | str | os.PathLike) -> list[Face]:
        """The face of one picture: its box is the whole picture, its score 1, its embedding (D,) before L2 normalisation; variance and
        quality where the model has them.

        Args:
            image: (H, W, 3) uint8 RGB, or the path of a picture.

        Raises:
            DataError: not such an array, a picture that cannot be read, or one of another size.
        """
        picture = Picture.given(image)
        pixels = picture.decode()
        start = time.perf_counter()
        resized = self.to_input_size(pixels, "" if isinstance(image, np.ndarray) else picture.name)
        prepared = time.perf_counter()
        found = {name: rows[0] for name, rows in described(self.predict, [resized], self.flip).items()}
        ran = time.perf_counter()
        height, width = picture.size
        quality = float(found["quality"]) if "quality" in found else None
        faces = [Face((0.0, 0.0, float(width), float(height)), 1.0, None, found["embedding"], found.get("variance"), quality)]
        self.seconds = {"pre": prepared - start, "run": ran - prepared, "post": time.perf_counter() - ran}
        return faces

    def to_input_size(self, pixels: np.ndarray, name: str) -> np.ndarray:
        """(H, W, 3), checked or resized to the model's input size; see `__call__`."""
        policy = self.predict.test_size
        return aligned(pixels, policy.of(*pixels.shape[:2]), name, self.resize, policy.letterbox)
