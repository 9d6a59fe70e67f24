"""Graph convolution, camera, light and rasteriser against loops, and their gradients against differences."""

import math

import cv2
import numpy as np
import paddle
import pytest

from ppface.nets.layers.mesh_decoder import ChebConv
from ppface.ops.mesh.camera import project, rotation
from ppface.ops.mesh.chebyshev import chebyshev
from ppface.ops.mesh.face_grid import face_mesh, scaled_laplacian
from ppface.ops.mesh.light import lambert, normals, unit
from ppface.ops.mesh.rasterizer import rasterize


def tensor(array):
    return paddle.to_tensor(np.asarray(array), dtype="float64")


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_chebyshev_polynomials_by_the_spectrum(rng, order):
    laplacian = scaled_laplacian(face_mesh(5).triangles, 25).astype("float64")
    values, vectors = np.linalg.eigh(laplacian)
    x = rng.normal(size=(2, 25, 3))
    got = chebyshev(tensor(x), tensor(laplacian), order).numpy()
    for k in range(order):
        polynomial = vectors @ np.diag(np.cos(k * np.arccos(values.clip(-1, 1)))) @ vectors.T
        np.testing.assert_allclose(got[:, :, 3 * k : 3 * k + 3], polynomial @ x, atol=1e-5)  # eigenvalues of float32 may be beyond -1


def test_a_graph_convolution_by_loops(rng):
    laplacian = scaled_laplacian(face_mesh(5).triangles, 25)
    layer = ChebConv(paddle.to_tensor(laplacian), 2, 3, order=3)
    theta, bias = layer.linear.weight.numpy().reshape(3, 2, 3), rng.normal(size=3).astype("float32")
    layer.linear.bias.set_value(bias)
    x = rng.normal(size=(25, 2)).astype("float32")
    terms = [x, laplacian @ x]
    terms.append(2 * laplacian @ terms[1] - terms[0])
    expected = np.zeros((25, 3))
    for vertex in range(25):
        for out in range(3):
            expected[vertex, out] = bias[out] + sum(theta[k, c, out] * terms[k][vertex, c] for k in range(3) for c in range(2))
    np.testing.assert_allclose(layer(paddle.to_tensor(x[None])).numpy()[0], expected, atol=1e-5)


def test_rotations_are_those_of_opencv_and_their_gradient_exists_at_zero(rng):
    vectors = np.concatenate([rng.normal(size=(5, 3)), [[0, 0, 0], [1e-9, 0, 0], [math.pi, 0, 0]]])
    expected = [cv2.Rodrigues(vector)[0] for vector in vectors]
    np.testing.assert_allclose(rotation(tensor(vectors)).numpy(), expected, atol=1e-9)
    still = tensor(np.zeros((1, 3)))
    still.stop_gradient = False
    rotation(still)[0, 1, 0].backward()
    np.testing.assert_allclose(still.grad.numpy(), [[0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("weak", [True, False])
def test_projection_by_loops(rng, weak):
    vertices, place, focal = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 3)) + [0, 0, 6], rng.uniform(3, 5, (2, 1))
    pixels, distance = project(tensor(vertices), tensor(place), tensor(focal), 32, weak)
    for n in range(2):
        for i in range(4):
            x, y, z = vertices[n, i] - place[n]
            depth = place[n, 2] if weak else -z
            expected = 16 * (1 + focal[n, 0] * x / depth), 16 * (1 - focal[n, 0] * y / depth)
            np.testing.assert_allclose(pixels[n, i].numpy(), expected, atol=1e-9)
            assert float(distance[n, i]) == pytest.approx(-z)


def test_light_by_loops(rng):
    mesh = face_mesh(5)
    vertices, colors = mesh.vertices + rng.normal(0, 0.05, (25, 3)), rng.uniform(size=(25, 3))
    direction, light, ambient = np.array([0.6, 0, 0.8]), rng.uniform(size=3), rng.uniform(size=3)
    found = normals(tensor(vertices[None]), paddle.to_tensor(mesh.triangles))
    got = lambert(tensor(colors[None]), found, tensor(direction[None]), tensor(light[None]), tensor(ambient[None])).numpy()[0]
    for i in range(25):
        normal = np.zeros(3)
        for a, b, c in mesh.triangles:
            if i in (a, b, c):
                normal += np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        normal /= np.linalg.norm(normal)
        np.testing.assert_allclose(got[i], colors[i] * (ambient + light * max(0, normal @ direction)), atol=1e-9)


def cover_and_barycentric(point, corners):
    """Of one triangle, rows going down: sigmoid(signed distance / 0.5), and the coordinates clamped and scaled to add up to 1."""
    a, b, c = corners
    cross = lambda p, q: p[0] * q[1] - p[1] * q[0]  # noqa: E731
    area = cross(b - a, c - a)
    if area >= -1e-3:
        return 0.0, np.full(3, 1 / 3)
    plain = np.array([cross(e - s, point - s) / area for s, e in ((b, c), (c, a), (a, b))])
    heights = [-area / np.linalg.norm(e - s) for s, e in ((b, c), (c, a), (a, b))]
    middle = (a + b + c) / 3
    radius = max(np.linalg.norm(corner - middle) for corner in corners)
    circle = (radius**2 - np.sum((point - middle) ** 2)) / (2 * radius)
    inside = min(*(plain * heights), circle)
    clamped = np.maximum(plain, 0)
    return 1 / (1 + math.exp(-inside / 0.5)), clamped / clamped.sum()


def test_the_rasteriser_by_loops(rng):
    mesh, size = face_mesh(3), 8
    pixels = 4 + 3 * mesh.vertices[:, :2] * [1, -1] + rng.normal(0, 0.3, (9, 2))
    pixels[0] = pixels[4] + [0.1, 0.1]  # turns triangles over
    distance, colors = 5 - mesh.vertices[:, 2] + rng.normal(0, 0.02, 9), rng.uniform(size=(9, 3))
    color, alpha = rasterize(tensor(pixels[None]), tensor(distance[None]), tensor(colors[None]), paddle.to_tensor(mesh.triangles), size)
    hidden = 0
    for row in range(size):
        for column in range(size):
            weights, values, missed = [], [], 1.0
            for triangle in mesh.triangles:
                cover, part = cover_and_barycentric(np.array([column + 0.5, row + 0.5]), pixels[triangle])
                hidden += cover == 0
                weights.append(cover * math.exp(-(part @ distance[triangle] - 4) / 0.05))
                values.append(part @ colors[triangle])
                missed *= 1 - cover
            assert float(alpha[0, row, column]) == pytest.approx(1 - missed, abs=1e-5)
            expected = np.average(values, axis=0, weights=weights)
            np.testing.assert_allclose(color[0, :, row, column].numpy(), expected, atol=1e-4)
    assert 0 < hidden < 64 * len(mesh.triangles)


def test_of_two_surfaces_the_nearer_one_is_drawn():
    corners = np.array([[-20.0, 40], [60, 40], [20, -60]])  # a triangle beyond the picture, once behind the other
    distance, colors = [[5, 5, 5, 4, 4, 4]], [[[1, 0, 0]] * 3 + [[0, 1, 0]] * 3]
    color, alpha = rasterize(tensor([[*corners, *corners]]), tensor(distance), tensor(colors), paddle.to_tensor([[0, 1, 2], [3, 4, 5]]), 16)
    np.testing.assert_allclose(color[0, :, 4, 8].numpy(), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(alpha[0, 4, 8].numpy(), 1, atol=1e-6)


def test_what_is_seen_from_behind_or_has_no_area_is_not_drawn():
    points = tensor([[[2, 12], [7, 2], [12, 12], [4, 4], [4, 4], [9, 9]]])  # clockwise with y up, and one that is a line
    color, alpha = rasterize(points, tensor(np.ones((1, 6))), tensor(np.ones((1, 6, 3))), paddle.to_tensor([[0, 1, 2], [3, 4, 5]]), 14)
    front, cover = rasterize(points, tensor(np.ones((1, 6))), tensor(np.ones((1, 6, 3))), paddle.to_tensor([[0, 2, 1], [3, 4, 5]]), 14)
    assert np.isfinite(color.numpy()).all() and float(alpha.max()) < 1e-6
    assert np.isfinite(front.numpy()).all() and float(cover[0, 9, 7]) > 0.9


def picture(vertices, colors, pose, place, focal, direction, light):
    """A loss with a weight of its own for each pixel and channel."""
    triangles = paddle.to_tensor(face_mesh(5).triangles)
    turned = paddle.matmul(vertices, rotation(pose).transpose([0, 2, 1]))
    pixels, distance = project(turned, place, focal, 10, weak=False)
    lit = lambert(colors, normals(turned, triangles), unit(direction), light, light * 0.5)
    color, alpha = rasterize(pixels, distance, lit, triangles, 10)
    weights = tensor(np.random.default_rng(3).uniform(size=(1, 3, 10, 10)))
    return (weights * color * alpha.unsqueeze(1)).sum()


def test_gradients_of_vertices_colors_camera_and_light_agree_with_differences(rng):
    mesh = face_mesh(5)
    values = [mesh.vertices[None], mesh.colors[None], [[0.2, -0.3, 0.1]], [[0.1, 0, 5]], [[4.2]], [[0.3, 0.4, 1]], [[0.7, 0.6, 0.5]]]
    values = [np.array(value, "float64") for value in values]
    inputs = [tensor(value) for value in values]
    for value in inputs:
        value.stop_gradient = False
    picture(*inputs).backward()
    for i, value in enumerate(values):
        direction = rng.normal(size=value.shape)
        sides = []
        for sign in (1, -1):
            moved = [tensor(v + sign * 1e-6 * direction) if j == i else tensor(v) for j, v in enumerate(values)]
            sides.append(float(picture(*moved)))
        expected = (sides[0] - sides[1]) / 2e-6
        assert float((inputs[i].grad.numpy() * direction).sum()) == pytest.approx(expected, rel=2e-4, abs=1e-5), i
