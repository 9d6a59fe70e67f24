"""Losses of landmark networks: PFLD's weighted distance, and Wing."""

import math

import numpy as np
import paddle
from paddle import nn

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.ops.head_pose import POINTS, head_pose


@register("loss")
class PFLDLoss(nn.Layer):
    """PFLD, Guo et al. 2019, https://arxiv.org/abs/1902.10859, equation 3: squared distances, weighted by the error of the pose and by how
    rare the attributes of a face are in the batch.

        L = 1/N sum_n (sum_c w_c) * (sum over pitch, yaw, roll of 1 - cos(predicted - true)) * sum_k ||d_k||^2

    d in units of the picture's side; w_c is the inverse of the share of faces in the batch with attribute c. A face without any attribute
    counts once (in published code it does not count). The true pose is the batch's `pose` if it has one, such as that of drawn faces, else
    that of the labelled landmarks (ops/head_pose.py).

    Args:
        pose: weigh by the error of the pose; needs a head with `pose`, and 68 or 98 points unless the batch has `pose`.
        attributes: weigh by attributes where the batch has them.

    Shape:
        outputs: landmarks (N, K, 2) pixels, pose (N, 3) radians; batch: image (N, 3, H, W), gt_landmarks (N, 1, K, 2) pixels,
        attributes (N, A) bool and pose (N, 3) degrees if known -> {"landmarks": scalar}

    Raises:
        DataError: a batch without landmarks or with another number of them, pictures without a face, or landmarks of which no pose is
            known.
    """

    def __init__(self, pose: bool = True, attributes: bool = True):
        super().__init__()
        self.pose, self.attributes = pose, attributes

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        points = _labelled("PFLDLoss", outputs, batch)
        height, width = batch["image"].shape[2:]
        side = paddle.to_tensor([width, height], "float32")
        loss = (((outputs["landmarks"].astype("float32") - points) / side) ** 2).sum(axis=[1, 2])
        if self.pose and self.training:
            true = _pose(outputs, batch, points, (height, width))
            loss = loss * (1 - paddle.cos(outputs["pose"].astype("float32") - true)).sum(axis=1)
        if self.attributes and "attributes" in batch:
            has = batch["attributes"].astype("float32")
            rare = (has / has.mean(axis=0).clip(min=1e-6)).sum(axis=1)
            loss = loss * paddle.where(rare > 0, rare, paddle.ones_like(rare))
        return {"landmarks": loss.mean()}


@register("loss")
class WingLoss(nn.Layer):
    """Wing loss, Feng et al. 2018, https://arxiv.org/abs/1711.06753, equation 5: w * ln(1 + |d| / epsilon) for |d| < w, else |d| - C.

    Args:
        w: pixels up to which the logarithm is used, > 0.
        epsilon: pixels, > 0; smaller values raise the gradient of small distances.
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs: landmarks (N, K, 2) pixels; batch: gt_landmarks (N, 1, K, 2) pixels -> {"landmarks": scalar, mean over all coordinates}

    Raises:
        ValueError: an argument out of its range.
        DataError: a batch without landmarks or with another number of them, or pictures without a face.
    """

    def __init__(self, w: float = 10.0, epsilon: float = 2.0, weight: float = 1.0):
        super().__init__()
        if w <= 0 or epsilon <= 0 or weight < 0:
            raise ValueError(f"WingLoss: expected w and epsilon above 0 and weight >= 0, received {w=}, {epsilon=}, {weight=}")
        self.w, self.epsilon, self.weight = w, epsilon, weight

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        distance = (outputs["landmarks"].astype("float32") - _labelled("WingLoss", outputs, batch)).abs()
        near = self.w * paddle.log1p(distance / self.epsilon)
        constant = self.w - self.w * math.log1p(self.w / self.epsilon)
        return {"landmarks": self.weight * paddle.where(distance < self.w, near, distance - constant).mean()}


def _pose(outputs: dict, batch: dict, points: paddle.Tensor, size: tuple[int, int]) -> paddle.Tensor:
    """(N, 3) pitch, yaw, roll in radians, signs as of `head_pose`, whose yaw is positive to the left of the picture."""
    if "pose" not in outputs or ("pose" not in batch and points.shape[1] not in POINTS):
        raise DataError("PFLDLoss: expected a head with pose: true and 68 or 98 landmarks, else set pose: false")
    if "pose" in batch:
        yaw, pitch, roll = paddle.unbind(paddle.deg2rad(batch["pose"].astype("float32")), axis=1)
        return paddle.stack([pitch, -yaw, roll], axis=1)
    return paddle.to_tensor(np.stack([head_pose(face, size) for face in points.numpy()]).astype("float32"))


def _labelled(owner: str, outputs: dict, batch: dict) -> paddle.Tensor:
    """(N, K, 2) labelled landmarks, as many as the model predicts."""
    count = outputs["landmarks"].shape[1]
    received = list(batch["gt_landmarks"].shape) if "gt_landmarks" in batch else "none"
    if received == "none" or received[1:] != [1, count, 2]:
        raise DataError(
            f"{owner}: expected gt_landmarks of one face with {count} points a picture, as the head predicts, received {received}"
        )
    if "gt_count" in batch and (missing := int((batch["gt_count"] != 1).sum())):
        raise DataError(
            f"{owner}: expected one face in every picture, received {missing} of {received[0]} pictures without: "
            "a transform dropped it; crop with LandmarkCrop"
        )
    return batch["gt_landmarks"][:, 0]
