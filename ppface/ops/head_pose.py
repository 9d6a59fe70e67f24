"""Head pose from landmarks: the rotation of a mean 3-D face whose projection fits 14 points."""

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
