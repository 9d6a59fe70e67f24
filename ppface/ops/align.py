"""Aligns faces for recognition: by five points onto a template, or by rotation until the eyes are level.

Points are x, y in pixels; pixel centres have integer coordinates, as in landmark files and OpenCV.
"""

import cv2
import numpy as np

ARCFACE = np.array(  # left eye, right eye, nose tip, left and right corner of the mouth, left and right as seen in a picture of 112x112
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
ARCFACE.setflags(write=False)
# number of points -> points of the left and of the right eye; nose tip, left and right corner of the mouth. 68: iBUG 300-W; 98: WFLW, its
# pupils (96, 97) are not used
EYES = {5: (slice(0, 1), slice(1, 2)), 68: (slice(36, 42), slice(42, 48)), 98: (slice(60, 68), slice(68, 76))}
NOSE_AND_MOUTH = {5: (2, 3, 4), 68: (30, 48, 54), 98: (54, 76, 82)}


def template(size: tuple[int, int] = (112, 112)) -> np.ndarray:
    """(5, 2) points of ArcFace (Deng et al. 2019, https://arxiv.org/abs/1801.07698) in a picture of `size` (height, width).

    They scale with the height and are centred in the width: (112, 96) gives x - 8.
    """
    scale = size[0] / 112
    return ARCFACE * scale + [(size[1] - 112 * scale) / 2, 0]


def similarity(points: np.ndarray, template: np.ndarray = ARCFACE) -> np.ndarray:
    """The least-squares rotation, scale and translation from `points` to `template` (Umeyama 1991, https://doi.org/10.1109/34.88573).

        min over s, R, t of sum_i ||s R p_i + t - q_i||^2

    With centred points as complex numbers, s R is multiplication by sum(conj(p) q) / sum(|p|^2): no reflection.

    Shape:
        (K, 2), (K, 2) -> (2, 3), K >= 2

    Raises:
        ValueError: numbers that are not finite, shapes that differ, or points that coincide.
    """
    p, q = np.asarray(points, np.float64), np.asarray(template, np.float64)
    if p.shape != q.shape or p.ndim != 2 or p.shape[1] != 2 or len(p) < 2:
        raise ValueError(f"similarity: expected two arrays of the same two or more x, y, received shapes {p.shape} and {q.shape}")
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise ValueError("similarity: expected finite points")
    centre, target = p.mean(axis=0), q.mean(axis=0)
    from_centre, from_target = ((xy - mean) @ [1, 1j] for xy, mean in ((p, centre), (q, target)))
    spread = np.vdot(from_centre, from_centre).real
    if spread <= 1e-12 * max(1.0, np.abs(p).max() ** 2):
        raise ValueError(f"similarity: expected points that differ, received {len(p)} times {centre.round(2).tolist()}")
    turn = np.vdot(from_centre, from_target) / spread
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target - linear @ centre])


def align(image: np.ndarray, points: np.ndarray, size: tuple[int, int] = (112, 112)) -> np.ndarray:
    """One bilinear warp that maps a face onto the ArcFace template; black beyond the edges of the picture.

    Args:
        image: (H, W, C) or (H, W) uint8.
        points: (5, 2) as in the template, or 68 as of iBUG 300-W or 98 as of WFLW (see `five`).
        size: (height, width) of the result.

    Raises:
        ValueError: points that determine no similarity.
    """
    return cv2.warpAffine(image, similarity(five(points), template(size)), size[::-1], flags=cv2.INTER_LINEAR)


def five(points: np.ndarray) -> np.ndarray:
    """The five points of the template from 5, 68 or 98: of 68, the means of six points per eye (36 to 41, 42 to 47), nose tip 30, mouth
    corners 48 and 54; of 98, those of eight points per eye (60 to 67, 68 to 75), nose tip 54, mouth corners 76 and 82.

    Raises:
        ValueError: another number of points.
    """
    points = _known(points)
    return points if len(points) == 5 else np.concatenate([eyes(points), points[list(NOSE_AND_MOUTH[len(points)])]])


def eyes(points: np.ndarray) -> np.ndarray:
    """(5, 68 or 98, 2) -> (2, 2) centres of the left and of the right eye, as seen in the picture.

    Raises:
        ValueError: another number of points.
    """
    points = _known(points)
    return np.stack([points[eye].mean(axis=0) for eye in EYES[len(points)]])


def rotation(points: np.ndarray) -> np.ndarray:
    """The rotation about the midpoint of the eyes that makes them level, as in pipelines before ArcFace; no scaling.

    Shape:
        (5, 68 or 98, 2) -> (2, 3)

    Raises:
        ValueError: another number of points, numbers that are not finite, or eyes that coincide.
    """
    left, right = found = eyes(points)
    half = np.linalg.norm(right - left) / 2
    middle = found.mean(axis=0)
    return similarity(found, np.stack([middle - [half, 0], middle + [half, 0]]))


def upright(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The picture rotated until the eyes are level, in its original size; black beyond its edges.

    Raises:
        ValueError: as `rotation`.
    """
    return cv2.warpAffine(image, rotation(points), image.shape[1::-1], flags=cv2.INTER_LINEAR)


def _known(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1:] != (2,) or len(points) not in EYES:
        raise ValueError(f"expected 5, 68 or 98 points x, y, received shape {points.shape}")
    return points
