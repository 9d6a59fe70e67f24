"""MagMargin: the margin of MagFace, which grows with the norm of the embedding."""

import math

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels, sine


@register("head")
class MagMargin(CosineHead):
    """MagFace, Meng et al. 2021, https://arxiv.org/abs/2103.06627, equations 2 to 4, for use with CELoss and MagnitudeLoss.

        a = clip(|x|, l_a, u_a),   m(a) = l_m + (u_m - l_m) (a - l_a) / (u_a - l_a)
        target: s cos(theta + m(a));   others: s cos theta

    The gradient also goes through a, and is 0 where the norm is clipped. With `easy_margin`, as in the published trainings of
    https://github.com/IrvingMeng/MagFace, only targets with cos theta > 0 get the margin; without it, targets with theta + m(a) > pi get
    cos theta - m(a) sin m(a).

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        s: scale of the cosines, > 0.
        l_a: least norm, > 0.
        u_a: largest norm, > l_a.
        l_m: margin in radians at the least norm, 0..pi.
        u_m: margin in radians at the largest norm, l_m..pi.
        easy_margin: no margin for targets with theta of pi / 2 or more.
        sample_ratio: share of the classes used in one step, above 0, at most 1.
        class_parallel: whether the class centres are split over processes; None: if they are sampled.

    Shape:
        embedding (N, D), label (N,) int64 -> {"logits": (N, C), "magnitude": a (N,), "magnitude_bound": the least weight of MagnitudeLoss
        for which a has an optimum, section 3.2}, and "label" of sampled classes, see CosineHead; no label: {"embedding": (N, D), "norm":
        (N, 1), "quality": (N,) the norm, as in section 4.3}

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are not integers, or a number of labels other than N.
    """

    def __init__(
        self,
        embedding_size: int,
        class_num: ClassNum = None,
        s: float = 64.0,
        l_a: float = 10.0,
        u_a: float = 110.0,
        l_m: float = 0.45,
        u_m: float = 0.8,
        easy_margin: bool = True,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1.0, sample_ratio, class_parallel, in_channels)
        if not 0 < l_a < u_a or not 0 <= l_m <= u_m <= math.pi:
            raise ValueError(f"MagMargin: expected 0 < l_a < u_a and 0 <= l_m <= u_m <= pi, received {l_a=}, {u_a=}, {l_m=}, {u_m=}")
        self.l_a, self.u_a, self.l_m, self.easy_margin = l_a, u_a, l_m, easy_margin
        self.slope = (u_m - l_m) / (u_a - l_a)
        self.bound = s * self.slope * (u_a * l_a) ** 2 / (u_a**2 - l_a**2)

    def forward(self, embedding: paddle.Tensor, label: paddle.Tensor | None = None) -> dict:
        outputs = self.outputs(embedding, label)
        if label is not None:
            del outputs["embedding"]
        return outputs

    def outputs(self, embedding: paddle.Tensor, label: paddle.Tensor | None) -> dict:
        outputs = super().outputs(embedding, label)
        if label is not None:
            with paddle.amp.auto_cast(enable=False):
                square = (outputs["embedding"] ** 2).sum(axis=1)
                outputs["magnitude"] = paddle.sqrt(square.clip(self.l_a**2, self.u_a**2))
            outputs["magnitude_bound"] = self.bound
        else:
            outputs["quality"] = outputs["norm"].squeeze(1)
        return outputs

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        m = self.l_m + self.slope * (norm.clip(self.l_a, self.u_a) - self.l_a)
        shifted = cosine * paddle.cos(m) - sine(cosine) * paddle.sin(m)
        if self.easy_margin:
            return paddle.where(cosine > 0, shifted, cosine)
        return paddle.where(cosine > paddle.cos(math.pi - m), shifted, cosine - m * paddle.sin(m))
