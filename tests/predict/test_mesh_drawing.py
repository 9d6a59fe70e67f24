"""Meshes over faces: where they are drawn, and from which side."""

from functools import partial

import numpy as np
import paddle
import pytest

from ppface.core.errors import WeightsError
from ppface.nets.backbones import MobileNetV1
from ppface.nets.heads import DenseRegression, FaceHead
from ppface.nets.model import FaceModel, Input
from ppface.ops.mesh.face_grid import face_mesh
from ppface.ops.resize import TestSize
from ppface.predict.mesh_drawing import DrawnMesh, draw_meshes, find_meshes


def build(dense=True, mode="stretch"):
    paddle.seed(0)
    branch = partial(DenseRegression, embedding=4, order=1) if dense else None
    head = partial(FaceHead, min_sizes=[[8], [16], [32]], steps=[8, 16, 32], landmarks=5, dense=branch)
    size = Input((64, 64), [127.5] * 3, [127.5] * 3, TestSize(mode, (64, 64)))
    model = FaceModel(size, MobileNetV1(0.125), head)
    model.eval()
    return model


def test_a_mesh_whose_last_layer_is_almost_0_is_the_mean_face_in_the_middle_of_its_box(rng):
    image = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    model = build()
    model.head.dense.decoder.last.linear.weight.set_value(paddle.full([16, 6], 1e-9))
    (mesh,) = find_meshes(model, image, np.array([[20, 30, 60, 90]], "float32"))
    mean = face_mesh(17)
    x, y = 40 + 30 * 4.2 / 5 * mean.vertices[:, 0], 60 - 30 * 4.2 / 5 * mean.vertices[:, 1]
    np.testing.assert_allclose(mesh.vertices, np.stack([x, y], axis=1), atol=1e-3)
    assert len(mesh.visible()) == len(mean.triangles)
    surfaces = draw_meshes(image, [mesh])
    assert surfaces.shape == (128, 384, 3)
    np.testing.assert_array_equal(surfaces[:, :128], image)
    changed = (surfaces[:, 128:256] != image).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.min() - y.min()) <= 1.5 and abs(rows.max() + 1 - y.max()) <= 1.5
    assert abs(columns.min() - x.min()) <= 1.5 and abs(columns.max() + 1 - x.max()) <= 1.5
    assert changed[60, 40] and find_meshes(model, image, np.zeros((0, 4))) == []


def test_of_a_letterbox_the_mesh_is_in_the_pixels_of_the_picture(rng):
    image = rng.integers(0, 256, (64, 128, 3), dtype=np.uint8)
    model = build(mode="letterbox")
    model.head.dense.decoder.last.linear.weight.set_value(paddle.full([16, 6], 1e-9))
    seen = []
    model.backbone.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].numpy()))
    (mesh,) = find_meshes(model, image, np.array([[20, 10, 50, 40]], "float32"))
    assert (abs(seen[0][0, :, [0, 15, 48, 63]] - 0.5 / 127.5) < 1e-6).all()  # grey above and below the picture of 64x32
    mean = face_mesh(17)
    x, y = 35 + 15 * 4.2 / 5 * mean.vertices[:, 0], 25 - 15 * 4.2 / 5 * mean.vertices[:, 1]
    np.testing.assert_allclose(mesh.vertices, np.stack([x, y], axis=1), atol=1e-3)


def test_the_nearer_triangle_covers_the_farther_one_and_backs_are_left_out():
    corners = np.array([[2.0, 18], [18, 18], [10, 2]])
    triangles = np.array([[0, 1, 2], [3, 4, 5], [6, 8, 7]])
    colors = np.repeat(np.eye(3), 3, axis=0)
    mesh = DrawnMesh(np.concatenate([corners] * 3), np.repeat([3.0, 4.0, 1.0], 3), colors, triangles)
    assert mesh.visible().tolist() == [[3, 4, 5], [0, 1, 2]]
    assert draw_meshes(np.zeros((20, 20, 3), np.uint8), [mesh])[12, 20 + 10].tolist() == [255, 0, 0]


def test_a_model_without_a_trained_branch_is_refused():
    with pytest.raises(WeightsError) as error:
        find_meshes(build(dense=False), np.zeros((64, 64, 3), np.uint8), np.zeros((1, 4)))
    assert str(error.value) == ("expected a detector trained with model.head.dense, received one without; an export never has this branch")
    with pytest.raises(WeightsError) as error:
        find_meshes(build(), np.zeros((64, 64, 3), np.uint8), np.zeros((1, 4)))
    assert str(error.value) == (
        "expected weights of a detector trained with model.head.dense, received some without: its meshes are untrained"
    )
