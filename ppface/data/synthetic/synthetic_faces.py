"""Synthetic scenes with faces: a detection data set without files."""

from typing import Literal

import numpy as np

from ppface.core.registry import register
from ppface.data.pictures.picture import Picture
from ppface.data.synthetic.scene import Scene, draw_scene


@register("dataset")
class SyntheticFaces:
    """Pictures drawn on demand. Source: `ppface/data/synthetic`; see its modules for what is drawn.

    Picture i depends only on (seed, i) and the arguments below. Sets of different seeds share no picture and no person:
    train on seed 0, hold out seed 1.

    Args:
        length: pictures, >= 1.
        size: height and width of each in pixels, each >= 32.
        seed: of the set, >= 0.
        faces: minimum and maximum number of faces per picture, 0 <= min <= max <= 100; faces without room are dropped.
        face_size: smallest and largest height of an upright face as a share of the picture's short side, 0 < smallest <= largest <= 0.9.
        landmarks: 5 (eyes, nose tip, corners of the mouth, left to right in the picture), 6 (BlazeFace's: right eye, left eye, nose tip,
            mouth, right ear, left ear of the person), or 0 for none.
        difficulty: 0..1, scales rotation, occlusion, bad lighting, blur and noise of faces, and the number of objects that resemble faces.
        keep: whether pictures stay in the memory of the process that drew them, height * width * 3 bytes each; else each epoch draws
            them again.
        occluders: share of the faces with an object in front of them, 0..1; None: 0.3 * difficulty.
        occlusion: whether samples have the mask of these objects, for losses that learn it.

    Shape:
        i -> {"picture": Picture, "gt_boxes": (G, 4), "gt_landmarks": (G, K, 2), "gt_has_landmarks": (G,),
        "_identity": (G,) int64, "_pose": (G, 3) yaw, pitch, roll in degrees, "_occlusion": (G,) hidden share of the face, 0..1,
        "gt_occlusion": (height, width) uint8, 1 where an object is, only with `occlusion`}.
        `gt_has_landmarks` is False if most of a face's five points are hidden.

    Raises:
        ValueError: an argument outside of its range.
    """

    synthetic = True

    def __init__(
        self,
        length: int,
        size: tuple[int, int] = (256, 256),
        seed: int = 0,
        faces: tuple[int, int] = (0, 6),
        face_size: tuple[float, float] = (0.1, 0.6),
        landmarks: Literal[0, 5, 6] = 5,
        difficulty: float = 0.5,
        keep: bool = False,
        occluders: float | None = None,
        occlusion: bool = False,
    ):
        few_to_many = len(faces) == 2 and 0 <= faces[0] <= faces[1] <= 100
        small_to_large = len(face_size) == 2 and 0 < face_size[0] <= face_size[1] <= 0.9
        checks = {
            f"length of at least 1, received length={length}": length >= 1,
            f"height and width of at least 32, received size={size}": len(size) == 2 and min(size) >= 32,
            f"a seed of at least 0, received seed={seed}": seed >= 0,
            f"faces as fewest, most with 0 <= fewest <= most <= 100, received faces={faces}": few_to_many,
            f"face_size as smallest, largest with 0 < smallest <= largest <= 0.9, received face_size={face_size}": small_to_large,
            f"landmarks 0, 5 or 6, received landmarks={landmarks}": landmarks in (0, 5, 6),
            f"difficulty in 0..1, received difficulty={difficulty}": 0 <= difficulty <= 1,
            f"occluders in 0..1 or none, received occluders={occluders}": occluders is None or 0 <= occluders <= 1,
        }
        for expected, holds in checks.items():
            if not holds:
                raise ValueError(f"SyntheticFaces: expected {expected}")
        self.length, self.size, self.seed, self.faces = length, size, seed, faces
        self.face_size, self.landmarks, self.difficulty = face_size, landmarks, difficulty
        self.occluders, self.occlusion = occluders, occlusion
        self._kept: dict[int, dict] | None = {} if keep else None

    def __len__(self) -> int:
        return self.length

    def name(self, i: int) -> str:
        """Name of picture i in messages."""
        return f"synthetic-{self.seed}-{i}"

    def __getitem__(self, i: int) -> dict:
        if not 0 <= i < self.length:
            raise IndexError(f"picture {i} of {self.length}")
        if self._kept is None:
            return self._draw(i)
        if i not in self._kept:
            self._kept[i] = self._draw(i)
            self._kept[i]["picture"].decode().flags.writeable = False  # the kept pixels themselves: they serve every epoch
        return dict(self._kept[i])

    def _draw(self, i: int) -> dict:
        occlusion = np.zeros(self.size, np.uint8) if self.occlusion else None
        scene = self.scene(i, occlusion)
        sample = {
            "picture": Picture.of(scene.image, self.name(i)),
            "gt_boxes": scene.boxes,
            "_identity": scene.identity,
            "_pose": scene.pose,
            "_occlusion": scene.hidden,
        }
        if self.landmarks:
            sample["gt_landmarks"] = scene.landmarks if self.landmarks == 5 else scene.points
            sample["gt_has_landmarks"] = np.asarray(scene.visible.mean(axis=1) >= 0.5)
        if occlusion is not None:
            sample["gt_occlusion"] = occlusion
        return sample

    def scene(self, i: int, occlusion: np.ndarray | None = None) -> Scene:
        """Picture i with all annotations; `occlusion` as of `draw_scene`."""
        return draw_scene(self.seed, i, self.size, self.faces, self.face_size, self.difficulty, self.occluders, occlusion)
