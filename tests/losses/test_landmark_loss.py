"""Losses of landmarks against loops over faces and points."""

import math

import numpy as np
import paddle
import pytest

from ppface.core.errors import DataError
from ppface.losses import PFLDLoss, WingLoss
from ppface.ops.head_pose import head_pose


def setting(rng, count=4, points=68):
    outputs = {
        "landmarks": rng.uniform(0, 112, (count, points, 2)).astype("float32"),
        "pose": rng.normal(0, 0.5, (count, 3)).astype("float32"),
    }
    batch = {"image": np.zeros((count, 3, 112, 96), "uint8"), "gt_landmarks": rng.uniform(0, 96, (count, 1, points, 2)).astype("float32")}
    return outputs, batch


def tensors(arrays):
    return {key: paddle.to_tensor(value, stop_gradient=value.dtype != np.float32) for key, value in arrays.items()}


@pytest.mark.parametrize("pose", [True, False])
@pytest.mark.parametrize("attributes", [True, False])
def test_pfld_follows_the_paper(rng, pose, attributes):
    outputs, batch = setting(rng)
    batch["attributes"] = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    total = 0.0
    for n in range(4):
        squared = sum(
            ((outputs["landmarks"][n, k, 0] - batch["gt_landmarks"][n, 0, k, 0]) / 96) ** 2
            + ((outputs["landmarks"][n, k, 1] - batch["gt_landmarks"][n, 0, k, 1]) / 112) ** 2
            for k in range(68)
        )
        angle = sum(1 - math.cos(a - b) for a, b in zip(outputs["pose"][n], head_pose(batch["gt_landmarks"][n, 0], (112, 96)), strict=True))
        rare = sum(1 / batch["attributes"][:, c].mean() for c in range(3) if batch["attributes"][n, c]) or 1.0
        total += squared * (angle if pose else 1) * (rare if attributes else 1)
    got = PFLDLoss(pose, attributes)(tensors(outputs), tensors(batch))["landmarks"]
    assert float(got) == pytest.approx(total / 4, rel=1e-4)


def test_pfld_without_pose_in_the_head_is_refused_and_evaluation_needs_none(rng):
    outputs, batch = setting(rng, points=21)
    with pytest.raises(DataError, match="PFLDLoss: expected a head with pose: true and 68 or 98 landmarks, else set pose: false"):
        PFLDLoss()(tensors(outputs), tensors(batch))
    loss = PFLDLoss()
    loss.eval()
    assert float(loss(tensors(outputs), tensors(batch))["landmarks"]) > 0


def test_wing_follows_the_paper(rng):
    outputs, batch = setting(rng, points=5)
    batch["gt_landmarks"][:, 0] = outputs["landmarks"] + rng.normal(0, 6, (4, 5, 2)).astype("float32")
    total = []
    for got, want in zip(outputs["landmarks"].ravel(), batch["gt_landmarks"].ravel(), strict=True):
        distance = abs(float(got) - float(want))
        total.append(8 * math.log(1 + distance / 3) if distance < 8 else distance - (8 - 8 * math.log(1 + 8 / 3)))
    made = tensors(outputs)
    loss = WingLoss(8, 3, 0.5)(made, tensors(batch))["landmarks"]
    assert float(loss) == pytest.approx(0.5 * np.mean(total), rel=1e-4)
    loss.backward()
    slope = (np.sign(outputs["landmarks"] - batch["gt_landmarks"][:, 0]) * made["landmarks"].grad.numpy()).min()
    assert slope > 0  # every coordinate is pulled towards its label


@pytest.mark.parametrize(
    "change", [{}, {"gt_landmarks": np.zeros((4, 1, 5, 2), "float32")}, {"gt_landmarks": np.zeros((4, 2, 68, 2), "float32")}]
)
def test_batches_with_other_landmarks_are_named(rng, change):
    outputs, batch = setting(rng)
    batch.pop("gt_landmarks")
    batch |= change
    received = list(change["gt_landmarks"].shape) if change else "none"
    with pytest.raises(DataError) as error:
        WingLoss()(tensors(outputs), tensors(batch))
    expected = f"WingLoss: expected gt_landmarks of one face with 68 points a picture, as the head predicts, received {received}"
    assert str(error.value) == expected


def test_arguments_out_of_range_are_named():
    with pytest.raises(
        ValueError, match=r"WingLoss: expected w and epsilon above 0 and weight >= 0, received w=0, epsilon=2.0, weight=1.0"
    ):
        WingLoss(0)


@pytest.mark.parametrize("loss", [WingLoss(), PFLDLoss(pose=False)])
def test_pictures_whose_face_a_transform_dropped_are_named(rng, loss):
    """In the batch their landmarks are zero, which would be learned."""
    outputs, batch = setting(rng)
    whole = float(loss(tensors(outputs), tensors({**batch, "gt_count": np.array([1, 1, 1, 1])}))["landmarks"])
    assert whole == float(loss(tensors(outputs), tensors(batch))["landmarks"])
    with pytest.raises(DataError) as error:
        loss(tensors(outputs), tensors({**batch, "gt_count": np.array([1, 0, 1, 0])}))
    assert str(error.value) == (
        f"{type(loss).__name__}: expected one face in every picture, received 2 of 4 pictures without: "
        "a transform dropped it; crop with LandmarkCrop"
    )
