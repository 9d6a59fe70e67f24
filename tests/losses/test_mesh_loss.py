"""MeshLoss against loops."""

import numpy as np
import paddle
import pytest

from ppface.core.errors import DataError
from ppface.losses import MeshLoss


@pytest.fixture
def outputs(rng):
    shapes = {
        "drawn": (3, 3, 4, 4),
        "crop": (3, 3, 4, 4),
        "alpha": (3, 4, 4),
        "inside": (3, 4, 4),
        "points": (3, 5, 2),
        "targets": (3, 5, 2),
    }
    made = {f"mesh_{name}": rng.uniform(size=shape).astype("float32") for name, shape in shapes.items()}
    made["mesh_shape"] = rng.uniform(size=3).astype("float32")
    return made | {"mesh_real": np.array([1, 0, 1], "float32")}


def losses(outputs, **options):
    values = MeshLoss(**options)({name: paddle.to_tensor(value) for name, value in outputs.items()}, {})
    return {name: float(value) for name, value in values.items()}


def test_all_terms_by_loops(outputs):
    pixel, points = [], []
    for face in (0, 2):
        total = cover = 0.0
        for row in range(4):
            for column in range(4):
                share = outputs["mesh_inside"][face, row, column] * outputs["mesh_alpha"][face, row, column]
                apart = outputs["mesh_drawn"][face, :, row, column] - outputs["mesh_crop"][face, :, row, column]
                total += share * sum(abs(value) for value in apart)
                cover += share
        pixel.append(total / (cover + 1))
        points.append(np.mean([abs(x) + abs(y) for x, y in outputs["mesh_points"][face] - outputs["mesh_targets"][face]]))
    expected = {"pixel": 0.3 * np.mean(pixel), "mesh_points": 2 * np.mean(points), "shape": 0.5 * outputs["mesh_shape"][[0, 2]].mean()}
    assert losses(outputs, weight=0.3, landmark_weight=2.0, shape_weight=0.5) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_a_face_to_draw_has_no_loss_and_zero_gradients(outputs):
    tensors = {name: paddle.to_tensor(value) for name, value in (outputs | {"mesh_real": np.zeros(3, "float32")}).items()}
    tensors["mesh_drawn"].stop_gradient = False
    values = MeshLoss()(tensors, {})
    assert {name: float(value) for name, value in values.items()} == {"pixel": 0, "mesh_points": 0, "shape": 0}
    sum(values.values()).backward()
    assert not tensors["mesh_drawn"].grad.numpy().any()


def test_a_mesh_that_shrinks_over_an_even_picture_gains_nothing(outputs):
    outputs |= {"mesh_drawn": np.full((3, 3, 64, 64), 0.5, "float32"), "mesh_crop": np.full((3, 3, 64, 64), 0.4, "float32")}
    small, large = np.zeros((3, 64, 64), "float32"), np.ones((3, 64, 64), "float32")
    small[:, 16:48, 16:48] = 1
    values = [losses(outputs | {"mesh_alpha": alpha, "mesh_inside": large}, weight=1.0)["pixel"] for alpha in (small, large)]
    assert values == pytest.approx([0.3, 0.3], rel=2e-3)


def test_mistakes_are_named():
    with pytest.raises(ValueError) as error:
        MeshLoss(weight=-1)
    assert str(error.value) == "MeshLoss: expected weights of at least 0, received weight=-1, landmark_weight=0.1, shape_weight=0.01"
    with pytest.raises(DataError) as error:
        MeshLoss()({}, {})
    assert str(error.value) == ("MeshLoss: expected a head that draws meshes, received none: set model.head.dense={name: DenseRegression}")
