"""Synthetic people with several pictures each: a recognition data set without files."""

import cv2
import numpy as np

from ppface.core.registry import register
from ppface.data.pictures.picture import Picture
from ppface.data.recognition.identities import Identities
from ppface.data.synthetic import camera
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.occluder import Occluder
from ppface.data.synthetic.portrait import draw_portrait
from ppface.data.synthetic.variation import Expression, Light, Pose
from ppface.ops import align

PORTRAIT_SCALE = 1.6  # side of the drawn portrait relative to the aligned picture, so that faces have about the same size in both


@register("dataset")
class SyntheticIdentities(Identities):
    """Portraits drawn on demand, aligned by their five points. Source: `ppface/data/synthetic/portrait.py`.

    Picture i shows person i // images. The person depends only on (seed, person), everything else on (seed, person, picture).
    Sets with different seeds share no person: train on seed 0, hold out seed 1.

    Args:
        identities: people, >= 1.
        images: pictures of each, >= 1.
        size: height and width of each picture, each >= 32.
        seed: of the set, >= 0.
        difficulty: 0..1, scales rotation, occlusion, bad lighting, blur and noise of faces, and the error of the points.
        keep: whether pictures stay in the memory of the process that drew them, height * width * 3 bytes each; else each epoch draws
            them again.

    Shape:
        sample: picture, label (): 0..identities-1

    Raises:
        ValueError: an argument outside of its range.
    """

    synthetic = True

    def __init__(
        self,
        identities: int,
        images: int,
        size: tuple[int, int] = (112, 112),
        seed: int = 0,
        difficulty: float = 0.5,
        keep: bool = False,
    ):
        checks = {
            f"identities and images of at least 1, received {identities} and {images}": min(identities, images) >= 1,
            f"height and width of at least 32, received size={list(size)}": min(size) >= 32,
            f"a seed of at least 0, received seed={seed}": seed >= 0,
            f"difficulty in 0..1, received difficulty={difficulty}": 0 <= difficulty <= 1,
        }
        for expected, holds in checks.items():
            if not holds:
                raise ValueError(f"SyntheticIdentities: expected {expected}")
        super().__init__(size, resize=False)
        self.class_num, self.images, self.seed, self.difficulty = identities, images, seed, difficulty
        self.labels = np.repeat(np.arange(identities), images)
        self._kept: dict[int, np.ndarray] | None = {} if keep else None

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        return [f"synthetic-{self.seed}-{person}" for person in range(self.class_num)]

    def name(self, index: int) -> str:
        """Name of a picture in messages."""
        return f"synthetic-{self.seed}-{index // self.images}-{index % self.images}"

    def read(self, index: int) -> tuple[Picture, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        if self._kept is None:
            pixels = self._draw(index)
        else:
            if index not in self._kept:
                self._kept[index] = self._draw(index)
                self._kept[index].flags.writeable = False  # they serve every epoch
            pixels = self._kept[index]
        return Picture.of(pixels, self.name(index)), index // self.images

    def _draw(self, index: int) -> np.ndarray:
        person, number = divmod(index, self.images)
        rng = np.random.default_rng((self.seed, person, number, 2))
        portrait = draw_portrait(
            Identity.draw(self.seed, person),
            Pose.draw(rng, 0.2 + 0.6 * self.difficulty),
            Light.draw(rng, self.difficulty),
            Expression.draw(rng),
            round(PORTRAIT_SCALE * max(self.size)),
            rng,
            Occluder.draw(rng) if rng.random() < 0.2 * self.difficulty else None,
        )
        points = portrait.landmarks - 0.5 + rng.normal(0, 1.5 * self.difficulty, (5, 2))  # ops.align has the origin at a pixel centre
        aligned = align.align(portrait.image, points, self.size)
        return camera.expose(aligned, rng, self.difficulty)

    def encoded(self, index: int) -> bytes:
        pixels = self.read(index)[0].decode()
        return cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
