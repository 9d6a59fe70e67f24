"""Follows faces over the frames of a video, by overlap and by embedding, and fuses the embeddings of each."""

import itertools
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from ppface.ops.boxes import iou
from ppface.ops.embedding import normalised
from ppface.predict.face import Face


@dataclass(eq=False)
class Track:
    """One face over several frames.

    Attributes:
        number: from 1, in the order of appearance.
        box: in the last frame in which it was seen.
        first: number of the frame in which it appeared.
        last: of the frame in which it was last seen.
        seen: number of frames with this face.
    """

    number: int
    box: tuple[float, float, float, float]
    first: int
    last: int
    seen: int = 0
    _latest: np.ndarray | None = field(default=None, repr=False)
    _sum: np.ndarray | None = field(default=None, repr=False)
    _weights: np.ndarray | float = field(default=0.0, repr=False)

    @property
    def embedding(self) -> np.ndarray | None:
        """(D,) of length 1, fused over the frames that were `fuse`d, or None before the first of them."""
        return None if self._sum is None else normalised(self._sum / self._weights)

    def fuse(self, face: Face) -> None:
        """Adds a face to the embedding: x = sum of w_i x_i / |x_i| over sum of w_i, where w is the face's quality, as the norm-weighted
        average of AdaFace, Kim et al. 2022, https://github.com/mk-minchul/AdaFace, validation_mixed; or for every dimension 1 / variance,
        as PFE, Shi and Jain 2019, https://arxiv.org/abs/1904.09658, section 4.2."""
        assert face.embedding is not None
        weight = face.quality if face.variance is None else 1 / np.asarray(face.variance, np.float64)
        if weight is None or not np.all(np.isfinite(weight)) or not np.all(np.asarray(weight) > 0):
            weight = 1.0
        self._sum = weight * normalised(face.embedding) + (0 if self._sum is None else self._sum)
        self._weights = self._weights + weight

    def likeness(self, unit: np.ndarray) -> float | None:
        """The larger cosine to the latest and to the fused embedding; None without either."""
        known = [vector for vector in (self._latest, self.embedding) if vector is not None]
        return max(float(vector @ unit) for vector in known) if known else None


class FaceTracker:
    """Assigns the faces of each frame to tracks: one-to-one with the largest sum of overlap (IoU) and cosine, by the Hungarian method, as
    SORT, Bewley et al. 2016, https://arxiv.org/abs/1602.00763, section 3.3, without its motion model, and with an appearance term as
    DeepSORT, Wojke et al. 2017, https://arxiv.org/abs/1703.07402, section 2.2.

    A face may join a track that was seen in the previous frame if they overlap and their embeddings do not contradict, or any living track
    if the embeddings are similar. Every other face begins a track. The cosines are of a public MobileFaceNet on frames of YouTube Faces
    (tests/benchmarks/face_quality.py): of one person 2.4 % of the pairs are below .1, of two people .014 % are above .5.

    Args:
        overlap: least IoU, 0..1; SORT's is .3.
        contradiction: cosine below which overlapping faces are two people, as after a cut; -1..1.
        similarity: cosine from which a face without overlap is the same; -1..1.
        patience: frames for which a track waits for its face, >= 1.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, overlap: float = 0.3, contradiction: float = 0.1, similarity: float = 0.5, patience: int = 50):
        if not (0 <= overlap <= 1 and -1 <= contradiction <= similarity <= 1 and patience >= 1):
            raise ValueError(
                "FaceTracker: expected overlap in 0..1, -1 <= contradiction <= similarity <= 1 and patience of at least 1, received "
                f"overlap={overlap}, contradiction={contradiction}, similarity={similarity}, patience={patience}"
            )
        self.overlap, self.contradiction, self.similarity, self.patience = overlap, contradiction, similarity, patience
        self.frame, self.living = -1, list[Track]()
        self._numbers = itertools.count(1)

    def update(self, faces: list[Face]) -> list[Track]:
        """The tracks of the faces of the next frame, in their order."""
        self.frame += 1
        self.living = [track for track in self.living if self.frame - track.last <= self.patience]
        units = [None if face.embedding is None or not np.isfinite(face.embedding).all() else normalised(face.embedding) for face in faces]
        gain = np.zeros((len(faces), len(self.living)))
        overlaps = iou(*(np.array([thing.box for thing in things], np.float64).reshape(-1, 4) for things in (faces, self.living)))
        for i, j in np.ndindex(*gain.shape):
            gain[i, j] = self._gain(float(overlaps[i, j]), units[i], self.living[j])
        pairs = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
        joined = {i: self.living[j] for i, j in pairs if gain[i, j] > 0}
        tracks = []
        for i, face in enumerate(faces):
            track = joined.get(i) or Track(next(self._numbers), face.box, self.frame, self.frame)
            track.box, track.last, track.seen = face.box, self.frame, track.seen + 1
            track._latest = track._latest if units[i] is None else units[i]
            tracks.append(track)
        self.living += [track for track in tracks if track.first == self.frame]
        return tracks

    def _gain(self, overlap: float, unit: np.ndarray | None, track: Track) -> float:
        """2 + overlap + cosine, which is above 0; 0 for a face that must not join."""
        overlap = overlap if track.last == self.frame - 1 else 0.0
        cosine = None if unit is None else track.likeness(unit)
        near = overlap >= self.overlap and overlap > 0
        if cosine is None:
            return 2 + overlap if near else 0.0
        return 2 + overlap + cosine if cosine >= self.similarity or (near and cosine >= self.contradiction) else 0.0
