"""FacePipeline: from a photograph to the embeddings of all its faces."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ppface.core.config.spec import Spec
from ppface.core.errors import WeightsError
from ppface.data.pictures.picture import Picture
from ppface.ops.align import EYES
from ppface.ops.embedding import described
from ppface.predict.alignment import ALIGNMENTS, NEED_LANDMARKS
from ppface.predict.embedder import FaceEmbedder
from ppface.predict.face import Face
from ppface.predict.face_detector import FaceDetector
from ppface.predict.face_landmarker import FaceLandmarker, LandmarkedDetector

Image = np.ndarray | str | os.PathLike
Source = str | os.PathLike | Spec


class FacePipeline:
    """Detects, aligns and embeds the faces of pictures.

    A source is whatever `ppface.predict.load` opens (the folder of a run, an export or a released model, `builtin`, `zoo:NAME`, a
    config that names its weights), or what it returned. Channel order and normalisation are inside the models.

    Args:
        detector: finds faces; a LandmarkedDetector too.
        embedder: embeds aligned faces; they are made in its input size.
        landmarks: a landmark model that is run on each detected face, in place of the detector's own landmarks.
        align: "five_points", "eyes" or "crop", see `ppface.predict.alignment`.
        threshold: lowest score of a face, 0..1.
        flip: add the embedding of the mirrored crop; an embedder that was loaded with it keeps it.
        batch_size: faces in one call of the embedder, of all pictures of a call, > 0.
        threads: CPU threads of exports that are opened here; None: one per core.

    Attributes:
        size: (height, width) of the aligned faces.
        align: the name of the alignment.
        mirrored: whether the embedding of the mirrored face is added.
        seconds: of the last call by stage: "pre" (resizing and aligning), "run" (the models) and "post"; without decoding files.

    Raises:
        ValueError: an unknown alignment, a threshold or batch size out of its range.
        WeightsError: models of other kinds, or no landmarks for an alignment that needs them.
    """

    def __init__(
        self,
        detector: Source | FaceDetector | LandmarkedDetector,
        embedder: Source | FaceEmbedder,
        landmarks: Source | FaceLandmarker | None = None,
        align: str = "five_points",
        threshold: float = 0.5,
        flip: bool = False,
        batch_size: int = 32,
        threads: int | None = None,
    ):
        if align not in ALIGNMENTS:
            raise ValueError(f"FacePipeline: expected align to be one of {', '.join(ALIGNMENTS)}, received {align!r}")
        if not 0 <= threshold <= 1 or batch_size < 1:
            raise ValueError(
                f"FacePipeline: expected threshold in 0..1 and batch_size of at least 1, received {threshold} and {batch_size}"
            )
        find = _opened("detector", detector, (FaceDetector, LandmarkedDetector), "a model that finds faces (output 'boxes')", threads)
        self._embedder = _opened("embedder", embedder, (FaceEmbedder,), "a model that embeds aligned faces (output 'embedding')", threads)
        if landmarks is not None:
            mark = _opened("landmarks", landmarks, (FaceLandmarker,), "a model of landmarks alone (output 'landmarks')", threads)
            find = LandmarkedDetector(find, mark, threshold=threshold)
        if align in NEED_LANDMARKS and isinstance(find, FaceDetector) and "landmarks" not in find.predict.outputs():
            raise WeightsError(
                f"FacePipeline: align={align!r} needs landmarks, and {_name(detector)}this detector finds boxes alone: give a landmark "
                "model by `landmarks`, a detector with landmarks, or align='crop'"
            )
        self._find, self.align, self.threshold, self.batch_size = find, align, threshold, batch_size
        self.mirrored = flip or self._embedder.flip
        self.size = self._embedder.predict.test_size.of(112, 112)
        self.seconds: dict[str, float] = {}

    def __call__(self, images: Image | Sequence[Image]) -> Any:
        """The faces of a picture, best first; of a list of pictures a list for each.

        A face has an embedding and `aligned`, or neither if its landmarks determine no alignment; its quality is the model's own or, for
        models without one, the length of the embedding before L2 normalisation.

        Args:
            images: (H, W, 3) uint8 RGB, the path of a picture, or a list of these, which may be empty.

        Raises:
            DataError: not such an array, or a picture that cannot be read.
            WeightsError: a detector whose number of landmarks is none of those that can be aligned.
        """
        self.seconds = dict.fromkeys(("pre", "run", "post"), 0.0)
        if isinstance(images, np.ndarray | str | os.PathLike) or not isinstance(images, Iterable):
            return self._embedded([self._aligned(Picture.given(images))])[0]
        return self._embedded([self._aligned(_numbered(image, number)) for number, image in enumerate(images)])

    def _aligned(self, picture: Picture) -> list[Face]:
        """The faces of one picture without embeddings."""
        pixels = picture.decode()
        faces = [face for face in self._find(pixels) if face.score >= self.threshold]
        for stage, seconds in self._find.seconds.items():
            self.seconds[stage] += seconds
        start = time.perf_counter()
        faces = [replace(face, aligned=self._crop(pixels, face)) for face in faces]
        self.seconds["pre"] += time.perf_counter() - start
        return faces

    def _crop(self, pixels: np.ndarray, face: Face) -> np.ndarray | None:
        if face.landmarks is not None and len(face.landmarks) not in EYES:
            known = ", ".join(map(str, EYES))
            raise WeightsError(f"FacePipeline: expected a detector with one of {known} landmarks a face, received {len(face.landmarks)}")
        try:
            return ALIGNMENTS[self.align](pixels, face, self.size)
        except ValueError:  # landmarks that coincide or are not finite, as a detector may find
            return None

    def _embedded(self, pictures: list[list[Face]]) -> list[list[Face]]:
        start = time.perf_counter()
        crops = [face.aligned for faces in pictures for face in faces if face.aligned is not None]
        batches = [crops[first : first + self.batch_size] for first in range(0, len(crops), self.batch_size)]
        rows = (row for batch in batches for row in _rows(described(self._embedder.predict, batch, self.mirrored)))
        done = [[face if face.aligned is None else replace(face, **next(rows)) for face in faces] for faces in pictures]
        self.seconds["run"] += time.perf_counter() - start
        return done


def _rows(found: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """What a model reports of a batch -> the fields of each Face."""
    quality = found.get("quality", found["norm"]).reshape(-1).tolist()
    variance = found.get("variance", [None] * len(quality))
    return [
        {"embedding": embedding, "variance": spread, "quality": value}
        for embedding, spread, value in zip(found["embedding"], variance, quality, strict=True)
    ]


def _numbered(image: Image, number: int) -> Picture:
    return Picture.open(image) if isinstance(image, str | os.PathLike) else Picture.of(image, f"images[{number}]")


def _opened(role: str, source: Any, kinds: tuple[type, ...], expected: str, threads: int | None) -> Any:
    from ppface import predict  # it imports this module

    opened = predict.load(source, threads=threads) if isinstance(source, str | os.PathLike | Spec) else source
    if not isinstance(opened, kinds):
        outputs = f"a model with {', '.join(opened.predict.outputs())}" if hasattr(opened, "predict") else type(opened).__name__
        raise WeightsError(f"FacePipeline: {role}: expected {expected}, received {_name(source)}{outputs}")
    return opened


def _name(source: Any) -> str:
    return f"{source}: " if isinstance(source, str | os.PathLike) else ""
