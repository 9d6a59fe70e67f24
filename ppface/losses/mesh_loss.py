"""MeshLoss: a drawn face mesh against the picture, its landmarks against the labelled ones, its shape against the mean face."""

import paddle
from paddle import nn

from ppface.core.errors import DataError
from ppface.core.registry import register


@register("loss")
class MeshLoss(nn.Layer):
    """Loss of the dense regression branch, RetinaFace, Deng et al. 2019, https://arxiv.org/abs/1905.00641, equation 3, per face

        pixel = weight * sum over pixels of alpha * |drawn - crop| / sum over pixels of alpha,   |..| summed over red, green, blue

    with the cover `alpha` of the drawn mesh and values in 0..1 (the paper does not give their range); pixels outside the picture do not
    count. The paper divides by the number of pixels; then a mesh that shrinks to nothing has no loss. Even so a mesh may leave the face
    for an even patch of skin, and a decoder that has never seen scans bends it to anything that has the right colours. Two terms of ours
    are against this:

        mesh_points = landmark_weight * mean over the five landmarks of |x - x'| + |y - y'|, in units of the crop's side
        shape       = shape_weight * mean over vertices and axes of (offset from the mean face / largest offset)^2

    All are means over the faces of the batch, 0 if it has none.

    Args:
        weight: of the pixel term, >= 0; 0.01 in the paper.
        landmark_weight: of the landmark term, >= 0.
        shape_weight: of the shape term, >= 0.

    Shape:
        outputs of a head with `dense: {name: DenseRegression}` -> {"pixel": scalar, "mesh_points": scalar, "shape": scalar}

    Raises:
        ValueError: a negative weight.
        DataError: outputs without a drawn mesh.
    """

    def __init__(self, weight: float = 0.01, landmark_weight: float = 0.1, shape_weight: float = 0.01):
        super().__init__()
        if min(weight, landmark_weight, shape_weight) < 0:
            raise ValueError(f"MeshLoss: expected weights of at least 0, received {weight=}, {landmark_weight=}, {shape_weight=}")
        self.weight, self.landmark_weight, self.shape_weight = weight, landmark_weight, shape_weight

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        if "mesh_drawn" not in outputs:
            raise DataError("MeshLoss: expected a head that draws meshes, received none: set model.head.dense={name: DenseRegression}")
        real = outputs["mesh_real"]
        counted = real.sum().clip(min=1)
        apart = (outputs["mesh_drawn"] - outputs["mesh_crop"]).abs().sum(axis=1)
        cover = outputs["mesh_inside"] * outputs["mesh_alpha"]
        pixel = (cover * apart).sum(axis=[1, 2]) / (cover.sum(axis=[1, 2]) + 1)  # + 1: smooth where nothing is covered
        points = (outputs["mesh_points"] - outputs["mesh_targets"]).abs().sum(axis=2).mean(axis=1)
        return {
            "pixel": self.weight * (real * pixel).sum() / counted,
            "mesh_points": self.landmark_weight * (real * points).sum() / counted,
            "shape": self.shape_weight * (real * outputs["mesh_shape"]).sum() / counted,
        }
