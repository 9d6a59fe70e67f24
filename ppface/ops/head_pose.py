"""Head pose from landmarks: the rotation of a mean 3-D face whose projection fits 14 points, and an estimate from five."""

import cv2
import numpy as np

# of each scheme: brows (outer, inner, inner, outer), eye corners (the same), wings of the nose, mouth corners, lower lip, chin
POINTS = {
    68: (17, 21, 22, 26, 36, 39, 42, 45, 31, 35, 48, 54, 57, 8),
    98: (33, 38, 50, 46, 60, 64, 68, 72, 55, 59, 76, 82, 85, 16),
}
_HALF = [  # x, y, z of the points at the left of the picture, and of the two in the middle
    (6.825897, 6.760612, 4.402142),
    (1.330353, 7.122144, 6.903745),
    (5.311432, 5.485328, 3.987654),
    (1.789930, 5.393625, 4.413414),
    (2.005628, 1.409845, 6.165652),
    (2.774015, -2.080775, 5.048531),
]
_MIRROR = np.array([-1, 1, 1])
_BROW, _INNER_BROW, _EYE, _INNER_EYE, _NOSE, _MOUTH = map(np.array, _HALF)
FACE = np.array(
    [_BROW, _INNER_BROW, _INNER_BROW * _MIRROR, _BROW * _MIRROR, _EYE, _INNER_EYE, _INNER_EYE * _MIRROR, _EYE * _MIRROR]
    + [_NOSE, _NOSE * _MIRROR, _MOUTH, _MOUTH * _MIRROR, (0.0, -3.116408, 6.097667), (0.0, -7.415691, 4.070434)]
)

NOSE, NOSE_BASE = 0.6, 0.505  # of the distance between the middles of eyes and mouth: length of the nose, place of its base


def head_pose(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pitch, yaw and roll of a face, 0 for a frontal one: a coarse label, the mean face fits real ones to some pixels.

    The camera has a horizontal field of view of 60 degrees and looks at the middle of the picture. The face of https://github.com/
    polarisZhao/PFLD-pytorch, pfld/utils.py, with the sign of the left wing of its nose corrected.

    Args:
        points: landmarks in pixels, of 68 or 98 points.
        size: (height, width) of the picture.

    Shape:
        (68 or 98, 2) -> (3,) radians
    """
    centre = np.array([size[1], size[0]]) / 2
    focal = centre[0] / np.tan(np.pi / 6)
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    seen = np.ascontiguousarray(points[list(POINTS[len(points)])], np.float64)
    _, rotation, _ = cv2.solvePnP(FACE, seen, camera, None, flags=cv2.SOLVEPNP_ITERATIVE)
    r = cv2.Rodrigues(rotation)[0]
    return np.array([np.arctan2(r[2, 1], r[2, 2]), np.arctan2(-r[2, 0], np.hypot(r[0, 0], r[1, 0])), np.arctan2(r[1, 0], r[0, 0])])


def five_point_pose(points: np.ndarray) -> np.ndarray:
    """Pitch, yaw and roll from five points, with the signs of `head_pose`: coarser, and profiles come out at about 50 degrees.

    Gee and Cipolla 1994, https://doi.org/10.1016/0262-8856(94)90039-6, section 3: under weak perspective the nose tip is displaced from
    its base on the line from mouth to eyes along the projected normal of the face. With c the squared cosine of the angle between normal
    and line of sight, m1 the squared ratio of both lengths in the picture, m2 the squared cosine of the angle between them:

        N^2 (1 - m2) c^2 + (m1 - N^2 + 2 m2 N^2) c - m2 N^2 = 0

    N = .6, the nose's length by that of the line, is theirs. The base, where they have it at .4 of the line from the mouth, is where
    ArcFace's template has the nose tip, .505, so that the template looks straight ahead.

    Shape:
        (5, 2) eyes, nose tip, mouth corners -> (3,) radians; NaN where eyes, or eyes and mouth, coincide or points are not finite
    """
    left, right = points[0], points[1]
    roll = np.arctan2(right[1] - left[1], right[0] - left[0])
    level = np.asarray(points, np.float64) @ [[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    eyes, mouth = level[:2].mean(axis=0), level[3:].mean(axis=0)
    line = eyes - mouth
    nose = level[2] - (mouth + NOSE_BASE * line)
    length, out = np.hypot(*line), np.hypot(*nose)
    if not np.isfinite(level).all() or length == 0 or (right == left).all():
        return np.full(3, np.nan)
    if out <= 1e-9 * length:
        return np.array([0.0, 0.0, roll])
    m1, m2 = (out / length) ** 2, (line @ nose / (length * out)) ** 2
    a, b, c = NOSE**2 * (1 - m2), m1 - NOSE**2 + 2 * m2 * NOSE**2, -m2 * NOSE**2
    squared = 2 * c / (-b - np.sqrt(b * b - 4 * a * c)) if b > 0 else (-b + np.sqrt(b * b - 4 * a * c)) / (2 * a)  # the stable form
    cosine = np.sqrt(np.clip(squared, 0, 1))
    across, down = np.sqrt(1 - cosine**2) * nose / out
    return np.array([np.arctan2(down, cosine), -np.arctan2(across, cosine), roll])
