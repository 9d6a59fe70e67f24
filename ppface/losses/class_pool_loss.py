"""Class pool loss: cross entropy in a pool of classes, and the largest cosines of the pictures whose classes are not in it."""

import paddle
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import register


@register("loss")
class ClassPoolLoss(nn.Layer):
    """Loss of Faster Face Classification, Wang et al. 2022, https://arxiv.org/abs/2105.10375, section 3.3, for a DynamicClassPool head.

        L = sum over passes and planes of  mean_i -log softmax(logits_i)_{y_i}  +  weight * mean_j mean_k max(c_jk, 0)
        i: pictures whose identity is in the pool;   j: the others, c_jk the cosines with their r nearest classes

    Args:
        weight: factor of the second part, >= 0.

    Shape:
        outputs["pool_logits"] (R, K), outputs["pool_label"] (R,), outputs["outlier_cosine"] (O, r) and the weights of the rows,
        outputs["pool_weight"] (R,) and outputs["outlier_weight"] (O,), of which R or O may be 0 -> {"ce": scalar, "outlier": scalar}

    Raises:
        ValueError: a negative weight.
        UserError: a head without a pool.
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        if weight < 0:
            raise ValueError(f"ClassPoolLoss: expected weight >= 0, received weight={weight}")
        self.weight = weight

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        if "pool_logits" not in outputs:
            raise UserError("ClassPoolLoss: expected a head with a pool, received one without: set model.head={name: DynamicClassPool}")
        logits, label, cosine = outputs["pool_logits"], outputs["pool_label"], outputs["outlier_cosine"]
        ce, outlier = logits.sum() * 0, cosine.sum() * 0
        if logits.shape[0]:
            target = paddle.take_along_axis(logits, label.unsqueeze(1), axis=1).squeeze(1)
            ce = ((paddle.logsumexp(logits, axis=1) - target) * outputs["pool_weight"]).sum()
        if cosine.shape[0]:
            outlier = (cosine.clip(min=0.0).mean(axis=1) * outputs["outlier_weight"]).sum()
        return {"ce": ce, "outlier": self.weight * outlier}
