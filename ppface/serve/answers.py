"""Faces and matches as the plain values of answers; what is not finite becomes null, as JSON has no NaN."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ppface.gallery import UNKNOWN, Match
from ppface.predict.face import Face
from ppface.predict.face_quality import ANSWERED, ENROLLED, FaceQuality, QualityLimits
from ppface.serve.service_error import ServiceError

NOBODY = -1.0  # the score of a search in an empty gallery


def finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def numbers(array: np.ndarray | None) -> Any:
    """Nested lists of the array's numbers; None for none, or where one is not finite."""
    return None if array is None or not np.isfinite(array).all() else array.tolist()


def face(found: Face, embedding: bool = False) -> dict[str, Any]:
    """Box, score, landmarks and quality of a face, and why its person would not be named."""
    answer = place(found) | {
        "quality": {name: finite(value) for name, value in asdict(FaceQuality.of(found)).items()},
        "refusals": ANSWERED.refusals(found),
    }
    if embedding:
        norm = None if found.embedding is None else finite(float(np.linalg.norm(found.embedding.astype(np.float64))))
        answer |= {"embedding": numbers(found.embedding), "norm": norm}
    return answer


def place(found: Face) -> dict[str, Any]:
    return {"box": [finite(edge) for edge in found.box], "score": finite(found.score), "landmarks": numbers(found.landmarks)}


def named(found: Face, refusals: list[str], matches: Sequence[Match]) -> dict[str, Any]:
    """A face with the people that it may be; `best` is the score of the most similar person, known or below the threshold."""
    known = [asdict(match) for match in matches if match.name != UNKNOWN]
    best = matches[0].score if matches and matches[0].score > NOBODY else None
    return place(found) | {"refusals": refusals, "name": known[0]["name"] if known else UNKNOWN, "best": best, "matches": known}


def only_face(faces: Sequence[Face], picture: str, limits: QualityLimits) -> Face:
    """The face of a picture with exactly one.

    Raises:
        ServiceError: none, several, or one beyond the limits.
    """
    if len(faces) != 1:
        code = "several_faces" if faces else "no_face"
        raise ServiceError(code, f"{picture}: expected one face, found {len(faces) or 'none'}")
    if refusals := limits.refusals(faces[0]):
        use = "enrolled" if limits is ENROLLED else "compared"
        raise ServiceError("invalid", f"{picture}: its face cannot be {use}: {'; '.join(refusals)}")
    return faces[0]
