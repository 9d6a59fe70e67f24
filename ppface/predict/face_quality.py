"""The quality of a face for recognition, and the limits below which it is neither enrolled nor answered."""

from dataclasses import dataclass, fields

import cv2
import numpy as np

from ppface.ops.align import EYES, five
from ppface.ops.head_pose import five_point_pose
from ppface.ops.resize import resize
from ppface.predict.face import Face

HEIGHT = 112  # of the crop whose sharpness is measured: it depends on the size


@dataclass(frozen=True)
class FaceQuality:
    """Measures of one face of a `FacePipeline`; NaN what cannot be measured.

    Attributes:
        strength: the model's own quality, else the length of the embedding; comparable within one model alone.
        size: shorter side of the box, pixels.
        sharpness: variance of the Laplacian of the grey aligned crop at a height of 112 pixels, Pech-Pacheco et al. 2000,
            https://doi.org/10.1109/ICPR.2000.903548, section 2: enlarged and blurred faces have little of it.
        pitch, yaw, roll: degrees, of five landmarks, see `ppface.ops.head_pose.five_point_pose`.
    """

    strength: float
    size: float
    sharpness: float
    pitch: float
    yaw: float
    roll: float

    @classmethod
    def of(cls, face: Face) -> "FaceQuality":
        """The measures of a face with `aligned`, landmarks and an embedding, as far as it has them."""
        x1, y1, x2, y2 = face.box
        points = face.landmarks
        pose = np.full(3, np.nan) if points is None or len(points) not in EYES else np.degrees(five_point_pose(five(points)))
        strength = np.nan if face.quality is None else face.quality
        return cls(strength, min(x2 - x1, y2 - y1), np.nan if face.aligned is None else sharpness(face.aligned), *pose.tolist())


def sharpness(crop: np.ndarray) -> float:
    """Variance of the Laplacian of the grey picture at a height of 112 pixels, (H, W, 3) uint8 -> grey levels squared."""
    width = max(1, round(crop.shape[1] * HEIGHT / crop.shape[0]))
    grey = cv2.cvtColor(resize(crop, (HEIGHT, width)), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


@dataclass(frozen=True)
class QualityLimits:
    """What a face needs; None checks nothing. What a face has no measure of does not count against it.

    Args:
        strength, size, sharpness: least values.
        pitch, yaw: largest absolute values, degrees. Roll is undone by the alignment.

    Raises:
        ValueError: a limit that is not finite.
    """

    strength: float | None = None
    size: float | None = None
    sharpness: float | None = None
    pitch: float | None = None
    yaw: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and not np.isfinite(limit):
                raise ValueError(f"QualityLimits: expected a finite {field.name} or None, received {limit}")

    def refusals(self, face: Face) -> list[str]:
        """Why a face should not be used, one sentence part each; empty if it may."""
        if face.embedding is None:
            return ["no embedding: its landmarks determine no alignment"]
        if not np.isfinite(face.embedding).all() or not face.embedding.any():
            return ["its embedding is zero or not finite"]
        quality = FaceQuality.of(face)
        found = []
        for name, words, unit in LEAST:
            value, limit = getattr(quality, name), getattr(self, name)
            if limit is not None and value < limit:
                found.append(f"{words}: {value:.3g}{unit}, at least {limit:g} needed")
        for name, words in MOST:
            value, limit = abs(getattr(quality, name)), getattr(self, name)
            if limit is not None and value > limit:
                found.append(f"{words}: {value:.0f} degrees, at most {limit:g} allowed")
        return found


LEAST = (("strength", "too weak an embedding", ""), ("size", "too small", " pixels"), ("sharpness", "too blurred", ""))
MOST = (("yaw", "turned too far to a side"), ("pitch", "turned too far up or down"))

# Measured by tests/benchmarks/face_quality.py with a public MobileFaceNet, at a false match rate of .001; see its figures in README.md. The
# false matches of small and blurred faces become fewer, not more: who is searched needs half of the pictures found again, who is enrolled
# nearly all. The length of the embedding has no limit, as it grows again for faces that are hardly to be seen.
ANSWERED = QualityLimits(size=16, sharpness=5)
ENROLLED = QualityLimits(size=28, sharpness=10, pitch=30, yaw=20)
