"""ArcMargin: the additive angular margin of ArcFace."""

import math
from typing import Literal

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels, sine


@register("head")
class ArcMargin(CosineHead):
    """ArcFace, Deng et al. 2019, https://arxiv.org/abs/1801.07698, equation 3.

        target: s * cos(theta + m);   others: s * cos theta

    Beyond theta = pi - m, cos(theta + m) increases again, see `beyond`. With `easy_margin` only targets with cos theta > 0 get the margin.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: margin in radians, 0..pi.
        s: scale of the cosines, > 0.
        easy_margin: no margin for targets with theta of pi / 2 or more.
        beyond: the target's cosine where theta + m > pi: "linear", cos theta - m sin m; "clip", -1; "none", cos(theta + m) unchanged.
        sample_ratio: share of the classes used in one step, above 0, at most 1.
        class_parallel: whether the class centres are split over processes; None: if they are sampled.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C), see CosineHead for sampled classes

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are not integers, or a number of labels other than N.
    """

    def __init__(
        self,
        embedding_size: int,
        class_num: ClassNum = None,
        m: float = 0.5,
        s: float = 64.0,
        easy_margin: bool = False,
        beyond: Literal["linear", "clip", "none"] = "linear",
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1.0, sample_ratio, class_parallel, in_channels)
        if not 0 <= m <= math.pi:
            raise ValueError(f"ArcMargin: expected m in 0..pi, received m={m}")
        if beyond not in ("linear", "clip", "none"):
            raise ValueError(f"ArcMargin: expected beyond to be linear, clip or none, received {beyond!r}")
        self.m, self.easy_margin, self.beyond = m, easy_margin, beyond

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        shifted = cosine * math.cos(self.m) - sine(cosine) * math.sin(self.m)
        if self.easy_margin:
            return paddle.where(cosine > 0, shifted, cosine)
        if self.beyond == "none":
            return shifted
        fallback = cosine - self.m * math.sin(self.m) if self.beyond == "linear" else paddle.full_like(cosine, -1.0)
        return paddle.where(cosine >= math.cos(math.pi - self.m), shifted, fallback)
