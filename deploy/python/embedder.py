"""Embeds aligned faces with an exported model, and compares two: needs numpy, OpenCV, PyYAML and a runtime, and nothing of ppface."""

import os
import time
from pathlib import Path

import numpy as np
from detector import ExportedModel, Face, FaceDetector, check_pixels, placed, read_description
from landmarker import FaceLandmarker
from media import MediaError
from runtimes import candidates


class FaceEmbedder(ExportedModel):
    """Embeds pictures that show one aligned face each.

    Attributes:
        flip: add the embedding of the mirrored picture; variance and quality are the mean of both.
        resize: stretch pictures of another size than the model's; otherwise they are an error, unless inference.yml says "letterbox".
    """

    needs = ("embedding",)
    flip = resize = False

    def __call__(self, image: np.ndarray) -> list[Face]:
        """(H, W, 3) uint8 RGB -> its face: the box is the whole picture, the score 1, the embedding (D,) before L2 normalisation, and
        variance and quality where the model has them.

        Raises:
            MediaError: a picture of another size.
            ValueError: no array, or pixels of another shape or type.
        """
        check_pixels(image)
        start = time.perf_counter()
        height, width = image.shape[:2]
        size, inner = self.test_size(height, width), self.inner_size(height, width)
        if (height, width) != size and not (self.resize or self.letterbox):
            expected = f"expected an aligned face of {size[1]}x{size[0]} pixels, received {width}x{height}"
            raise MediaError(f"{expected}: align it with ppface align, or enable `resize`")
        pixels = placed(image, inner, size).transpose(2, 0, 1)[None]
        prepared = time.perf_counter()
        found = self.run(pixels)
        if self.flip:
            mirrored = self.run(pixels[..., ::-1])
            found = {name: (rows + mirrored[name]) / (1 if name == "embedding" else 2) for name, rows in found.items()}
        ran = time.perf_counter()
        variance = found["variance"][0] if "variance" in found else None
        quality = float(found["quality"][0]) if "quality" in found else None
        faces = [Face((0.0, 0.0, float(width), float(height)), 1.0, None, found["embedding"][0], variance, quality)]
        self.seconds = {"pre": prepared - start, "run": ran - prepared, "post": time.perf_counter() - ran}
        return faces


def open_export(folder: str | os.PathLike, threads: int | None = None, device: str = "cpu", runtime: str = "auto") -> ExportedModel:
    """A detector, an embedder or a landmarker, by the model's outputs; arguments and errors as ExportedModel."""
    runtime = "paddle" if device != "cpu" and runtime == "auto" else runtime
    outputs = read_description(*candidates(Path(folder), runtime)[0])["outputs"]
    marks = "landmarks" in outputs and "boxes" not in outputs
    return (FaceEmbedder if "embedding" in outputs else FaceLandmarker if marks else FaceDetector)(folder, threads, device, runtime)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine between two embeddings, -1..1; 0 if one of them is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths > 0 else 0.0
