"""Drawn faces with 68 landmarks: where they lie, how they turn with the head, and the true pose through crops, mirroring and the loss."""

import pickle
from dataclasses import replace

import numpy as np
import paddle
import pytest

from ppface.data import SyntheticLandmarks
from ppface.data.batch import KEYS, collate
from ppface.data.loading.pipeline import Pipeline
from ppface.data.synthetic.head import draw_head
from ppface.data.synthetic.identity import Identity
from ppface.data.synthetic.variation import Expression, Light, Pose
from ppface.data.transforms import Flip, LandmarkCrop
from ppface.data.transforms.flip import SIDES
from ppface.losses import PFLDLoss
from ppface.ops.head_pose import head_pose

FRONT = Pose()


def head(number=0, pose=FRONT, **expression):
    identity = replace(Identity.draw(0, number), beard="none", glasses=False)
    return draw_head(identity, pose, Light((0.0, -0.5, 0.866)), Expression(**expression), 100.0)


def test_a_sample_holds_what_it_says():
    faces = SyntheticLandmarks(5, size=96)
    sample = faces[3]
    assert len(faces) == 5 and sample["picture"].size == (96, 96) and sample["picture"].name == faces.name(3) == "synthetic-0-3"
    assert {key: value.shape for key, value in sample.items() if key in KEYS} == {
        "gt_boxes": (1, 4),
        "gt_landmarks": (1, 68, 2),
        "pose": (3,),
    }
    assert all(sample[key].dtype == KEYS[key].dtype for key in sample if key in KEYS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(faces))[3]["picture"].decode(), sample["picture"].decode())
    assert (SyntheticLandmarks(5, 96, seed=1)[3]["gt_landmarks"] != sample["gt_landmarks"]).any()


@pytest.mark.parametrize("number", range(6))
def test_points_of_a_frontal_face_are_in_the_order_of_300w(number):
    drawn = head(number, smile=0.5, opening=0.6)
    points, width = drawn.points68, len(drawn.image)
    np.testing.assert_allclose(points[SIDES[68]] * (-1, 1) + (width, 0), points, atol=1e-3)  # the mirror table finds the other side
    jaw, eye, outer, inner = points[:17], points[42:48], points[48:60], points[60:]
    assert (np.diff(jaw[1:16, 0]) > 0).all() and jaw[:, 1].argmax() == 8
    assert (np.diff(points[17:22, 0]) > 0).all() and (np.diff(points[22:27, 0]) > 0).all()  # both brows from left to right
    assert (np.diff(points[27:31, 1]) > 0).all() and (np.diff(points[31:36, 0]) > 0).all()
    assert eye[:, 0].argmin() == 0 and eye[:, 0].argmax() == 3 and eye[1:3, 1].max() < eye[4:, 1].min()
    np.testing.assert_allclose(eye.mean(axis=0), drawn.landmarks[1], atol=6)  # of 200 pixels of the head
    np.testing.assert_allclose(points[30], drawn.landmarks[2], atol=1e-3)
    np.testing.assert_allclose(points[[48, 54]], drawn.landmarks[3:], atol=1.5)
    assert outer[:, 0].argmin() == 0 and outer[:, 0].argmax() == 6
    assert outer[3, 1] < inner[2, 1] < inner[6, 1] < outer[9, 1]  # upper lip, its edge, edge of the lower lip, lower lip
    x1, y1, x2, y2 = drawn.box
    assert (points > (x1 - 6, y1 - 6)).all() and (points < (x2 + 6, y2 + 6)).all()


def test_points_are_where_the_features_are_drawn():
    """Lips are redder than the skin around them, and the open mouth between the inner points is dark."""
    drawn = head(2, opening=1.0)
    points, image = drawn.points68, drawn.image.astype(int)

    def color(*which):
        x, y = points[list(which)].mean(axis=0)
        return image[round(float(y)), round(float(x))]

    lower, inside, chin = color(57, 66), color(62, 66), color(8, 57)
    assert lower[0] - lower[1] > chin[0] - chin[1] + 10
    assert inside[0] < lower[0] - 30
    closed = head(2, blink=1.0).points68
    np.testing.assert_allclose(closed[[43, 44]], closed[[47, 46]], atol=1e-3)
    assert points[47, 1] - points[43, 1] > 3


def test_points_turn_with_the_head_and_poses_have_the_signs_of_solve_pnp():
    for pose, axis, sign in ((Pose(yaw=30), 1, -1), (Pose(yaw=-30), 1, 1), (Pose(roll=20), 2, 1), (Pose(pitch=25), 0, 1)):
        drawn = head(1, pose)
        flat = head_pose(drawn.points68, drawn.image.shape[:2]) - head_pose(head(1).points68, drawn.image.shape[:2])
        assert np.sign(flat[axis]) == sign and abs(flat[axis]) == np.abs(flat).max()


def test_the_pose_follows_crops_and_mirroring():
    faces = SyntheticLandmarks(8, size=128, difficulty=0)
    rng = np.random.default_rng(0)
    turned = Pipeline([LandmarkCrop((96, 96), rotate=40)])
    for i in range(8):
        before, after = faces[i], turned(faces[i], rng)
        np.testing.assert_allclose(after["pose"][:2], before["pose"][:2])
        angles = [np.arctan2(*(points[8] - points[27])) for points in (before["gt_landmarks"][0], after["gt_landmarks"][0])]
        assert after["pose"][2] - before["pose"][2] == pytest.approx(np.degrees(angles[0] - angles[1]), abs=0.5)
        assert abs(after["pose"][2] - before["pose"][2]) > 0.1
        mirrored = Pipeline([Flip(1.0)])(faces[i], rng)
        np.testing.assert_allclose(mirrored["pose"], before["pose"] * [-1, 1, -1])


def test_the_loss_takes_the_true_pose(rng):
    batch = collate([Pipeline([LandmarkCrop((64, 64))])(SyntheticLandmarks(3, 96)[i], rng) for i in range(3)])
    outputs = {"landmarks": batch["gt_landmarks"][:, 0] + 2, "pose": rng.normal(0, 0.3, (3, 3)).astype("float32")}
    total = 0.0
    for n in range(3):
        yaw, pitch, roll = np.radians(batch["pose"][n])
        angles = sum(1 - np.cos(a - b) for a, b in zip(outputs["pose"][n], (pitch, -yaw, roll), strict=True))
        total += angles * 68 * 2 * (2 / 64) ** 2
    as_tensors = [{key: paddle.to_tensor(value) for key, value in arrays.items()} for arrays in (outputs, batch)]
    assert float(PFLDLoss()(*as_tensors)["landmarks"]) == pytest.approx(total / 3, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length of at least 1, received length=0"),
        ({"size": 20}, "size of at least 32, received size=20"),
        ({"seed": -1}, "a seed of at least 0, received seed=-1"),
        ({"difficulty": 1.5}, "difficulty in 0..1, received difficulty=1.5"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        SyntheticLandmarks(**({"length": 1} | arguments))
    assert str(error.value) == f"SyntheticLandmarks: expected {message}"
    with pytest.raises(IndexError):
        SyntheticLandmarks(1)[1]
