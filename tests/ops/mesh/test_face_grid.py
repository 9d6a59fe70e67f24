"""The procedural face and the matrices of its graph convolutions."""

import numpy as np
import pytest

from ppface.ops.mesh.face_grid import face_mesh, scaled_laplacian, unpooling


@pytest.mark.parametrize("side", [5, 9, 17])
def test_the_mesh_is_a_mirrored_face_that_looks_at_the_viewer(side):
    mesh = face_mesh(side)
    assert mesh.vertices.shape == mesh.colors.shape == (side**2, 3) and mesh.triangles.shape == (2 * (side - 1) ** 2, 3)
    assert mesh.colors.min() > 0 and mesh.colors.max() < 1
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()
    mirror = np.arange(side**2).reshape(side, side)[:, ::-1].ravel()
    np.testing.assert_allclose(mesh.vertices[mirror], mesh.vertices * [-1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(mesh.colors[mirror], mesh.colors, atol=1e-6)
    assert {frozenset(mirror[t]) for t in mesh.triangles} == {frozenset(t) for t in mesh.triangles}


def test_the_landmarks_are_two_eyes_the_nose_and_two_corners_of_the_mouth():
    mesh = face_mesh(17)
    left_eye, right_eye, nose, left, right = mesh.vertices[mesh.landmarks]
    assert left_eye[0] < -0.2 and right_eye[0] > 0.2 and left[0] < -0.2 and right[0] > 0.2
    assert left_eye[1] > nose[1] > left[1]
    assert nose[2] > mesh.vertices[:, 2].max() - 0.05


def test_the_laplacian_is_that_of_the_edges():
    mesh = face_mesh(5)
    neighbours = [set() for _ in range(25)]
    for triangle in mesh.triangles.tolist():
        for i in triangle:
            neighbours[i] |= set(triangle) - {i}
    expected = np.eye(25)
    for i in range(25):
        for j in neighbours[i]:
            expected[i, j] = -1 / np.sqrt(len(neighbours[i]) * len(neighbours[j]))
    np.testing.assert_allclose(scaled_laplacian(mesh.triangles, 25), expected - np.eye(25), atol=1e-7)


def test_the_spectrum_is_one_that_chebyshev_polynomials_are_bounded_on():
    values = np.linalg.eigvalsh(scaled_laplacian(face_mesh(17).triangles, 289).astype("float64"))
    assert values.min() == pytest.approx(-1, abs=1e-6)
    assert values.max() == pytest.approx(0.539, abs=1e-3)  # the largest eigenvalue of L is 1.54, as L - I assumes less than 2


def test_unpooling_is_bilinear_interpolation():
    coarse, fine = (np.meshgrid(*[np.linspace(-1, 1, side)] * 2, indexing="ij") for side in (5, 9))
    values = [2 + 3 * v - u + 0.5 * u * v for v, u in (coarse, fine)]
    np.testing.assert_allclose(unpooling(5) @ values[0].ravel(), values[1].ravel(), atol=1e-6)
    middle = np.eye(25)[12]
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    np.testing.assert_allclose((unpooling(5) @ middle).reshape(9, 9), expected, atol=1e-7)
