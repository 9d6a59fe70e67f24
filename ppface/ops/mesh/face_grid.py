"""A procedural face: a grid of vertices bent to a mean face, with colours, landmarks, and grids of fewer vertices for the decoder."""

from dataclasses import dataclass

import numpy as np

SKIN, EYE, BROW, MOUTH = (0.80, 0.62, 0.52), (0.25, 0.20, 0.20), (0.35, 0.25, 0.20), (0.65, 0.30, 0.30)
# (height, x, y, width along x, along y) of Gaussian bumps: nose, brows, mouth, eyes
BUMPS = [
    (0.22, 0, -0.08, 0.12, 0.16),
    (0.05, -0.3, 0.38, 0.16, 0.08),
    (0.05, 0.3, 0.38, 0.16, 0.08),
    (0.05, 0, -0.5, 0.2, 0.1),
    (-0.06, -0.3, 0.2, 0.12, 0.09),
    (-0.06, 0.3, 0.2, 0.12, 0.09),
]
# (colour, x, y, width along x, along y) of what is not skin
PAINT = [
    (BROW, -0.3, 0.38, 0.13, 0.05),
    (BROW, 0.3, 0.38, 0.13, 0.05),
    (EYE, -0.3, 0.2, 0.09, 0.06),
    (EYE, 0.3, 0.2, 0.09, 0.06),
    (MOUTH, 0, -0.5, 0.16, 0.07),
]
LANDMARKS = [(-0.3, 0.2), (0.3, 0.2), (0, -0.08), (-0.25, -0.5), (0.25, -0.5)]  # x, y of eyes, nose tip, corners of the mouth


@dataclass(frozen=True)
class FaceMesh:
    """A triangle mesh; x to the right of the picture, y up, z towards the viewer, the face about 2 high.

    Args:
        vertices: (V, 3) float32 positions.
        colors: (V, 3) float32 red, green, blue, 0..1.
        triangles: (T, 3) int64 rows of `vertices`, counterclockwise for the viewer of the front.
        landmarks: (5,) int64 rows of `vertices`: eyes, nose tip and corners of the mouth, left first as seen in the picture.
    """

    vertices: np.ndarray
    colors: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray


def face_mesh(side: int) -> FaceMesh:
    """The mean face of `side` times `side` vertices, row by row from the chin up; the left half mirrors the right one."""
    v, u = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-1, 1, side)] * 2, indexing="ij"))
    x, y = 0.75 * u * np.sqrt(1 - v**2 / 4), v * np.sqrt(1 - u**2 / 4)
    z = 0.6 * np.sqrt(1 - 0.55 * (x / 0.75) ** 2 - 0.35 * y**2)
    z = z + sum(height * _gauss(x, y, *place) for height, *place in BUMPS)
    colors = np.tile(SKIN, (len(x), 1))
    for color, *place in PAINT:
        share = _gauss(x, y, *place)[:, None]
        colors = (1 - share) * colors + share * color
    landmarks = [int(np.hypot(x - near_x, y - near_y).argmin()) for near_x, near_y in LANDMARKS]
    vertices = np.stack([x, y, z], axis=1)
    return FaceMesh(vertices.astype("float32"), colors.astype("float32"), _triangles(side), np.array(landmarks))


def _gauss(x: np.ndarray, y: np.ndarray, centre_x: float, centre_y: float, width: float, height: float) -> np.ndarray:
    return np.exp(-(((x - centre_x) / width) ** 2 + ((y - centre_y) / height) ** 2) / 2)


def _triangles(side: int) -> np.ndarray:
    """Two triangles a cell of the grid."""
    found = []
    for row in range(side - 1):
        for column in range(side - 1):
            a = row * side + column
            b, c, d = a + 1, a + side, a + side + 1  # right of a, above a, above b
            rising = 2 * column < side - 1  # the diagonals of both halves mirror each other
            found += [(a, b, d), (a, d, c)] if rising else [(a, b, c), (b, d, c)]
    return np.array(found)


def scaled_laplacian(triangles: np.ndarray, count: int) -> np.ndarray:
    """L - I = -D^-1/2 E D^-1/2 of the edges E of a mesh with `count` vertices, L the normalised Laplacian with eigenvalues in 0..2, so that
    those of the result are in -1..1, as Chebyshev polynomials need them.

    Shape:
        (T, 3) -> (count, count) float32
    """
    edges = np.zeros((count, count))
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edges[triangles[:, first], triangles[:, second]] = edges[triangles[:, second], triangles[:, first]] = 1
    scale = edges.sum(axis=1) ** -0.5
    return (-scale[:, None] * edges * scale).astype("float32")


def unpooling(side: int) -> np.ndarray:
    """Bilinear interpolation from a grid of `side` vertices a side to one of 2 * side - 1.

    Shape:
        -> ((2 * side - 1)^2, side^2) float32
    """
    fine = 2 * side - 1
    line = np.zeros((fine, side))
    line[np.arange(fine), np.arange(fine) // 2] += 0.5
    line[np.arange(fine), (np.arange(fine) + 1) // 2] += 0.5
    return np.kron(line, line).astype("float32")
