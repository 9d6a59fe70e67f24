"""Names of the faces that a pipeline finds: in a picture each face by itself, in a video one name a track."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ppface.predict.face import Face
from ppface.predict.face_quality import ANSWERED, QualityLimits
from ppface.predict.face_tracker import FaceTracker, Track


class Names(Protocol):
    """A gallery, as far as it is needed here."""

    def names_of(self, embeddings: np.ndarray) -> Sequence[tuple[str, float]]:
        """(N, D) embeddings of any length -> for each the best person's name, or "Unknown", and the similarity."""


@dataclass(frozen=True)
class NamedFace(Face):
    """A face with its name.

    Attributes:
        name: as the gallery says, "Unknown" included; None without a gallery or where the face was not searched.
        similarity: of the name; None without one.
        track: number of its track in a video, from 1; None in a picture.
        refusals: why it was not searched, or in a video why this frame does not count for its track.
    """

    name: str | None = None
    similarity: float | None = None
    track: int | None = None
    refusals: tuple[str, ...] = ()


class NamedFaces:
    """Tracks and names faces.

    Args:
        names: the gallery; None only tracks.
        tracker: None: one with its defaults.
        limits: a face beyond them is not searched, and in a video does not count for its track.
    """

    def __init__(self, names: Names | None, tracker: FaceTracker | None = None, limits: QualityLimits = ANSWERED):
        self.names, self.tracker, self.limits = names, tracker or FaceTracker(), limits
        self._lines: dict[int, str] = {}

    def __call__(self, faces: list[Face], number: int | None = None) -> list[NamedFace]:
        """The faces of a picture, or of the next frame of a video, in their order, with names.

        Args:
            faces: of a FacePipeline.
            number: of the frame; None: a picture of its own.
        """
        refusals = [tuple(self.limits.refusals(face)) for face in faces]
        if number is None:
            embeddings = [None if refused else face.embedding for face, refused in zip(faces, refusals, strict=True)]
            tracks: list[Track | None] = [None] * len(faces)
        else:
            tracks = list(self.tracker.update(faces))
            for face, track, refused in zip(faces, tracks, refusals, strict=True):
                if track is not None and not refused:
                    track.fuse(face)
            embeddings = [None if track is None else track.embedding for track in tracks]
        found = self._search(embeddings)
        for track, (name, similarity) in zip(tracks, found, strict=True):
            if track is not None:
                said = "" if name is None else f": {name} ({similarity:.2f})"
                place = f"frames {track.first} to {track.last}, seen in {track.seen}"
                self._lines[track.number] = f"track {track.number}{said}, {place}"
        return [
            NamedFace(**vars(face), name=name, similarity=similarity, track=None if track is None else track.number, refusals=refused)
            for face, (name, similarity), track, refused in zip(faces, found, tracks, refusals, strict=True)
        ]

    def summary(self) -> list[str]:
        """A line for every track of a video, with its frames and the last name."""
        return list(self._lines.values())

    def _search(self, embeddings: Sequence[Any]) -> list[tuple[str | None, float | None]]:
        found: list[tuple[str | None, float | None]] = [(None, None)] * len(embeddings)
        searched = [i for i, embedding in enumerate(embeddings) if embedding is not None]
        if self.names is not None and searched:
            for i, (name, similarity) in zip(searched, self.names.names_of(np.stack([embeddings[i] for i in searched])), strict=True):
                found[i] = (name, float(similarity))
        return found
