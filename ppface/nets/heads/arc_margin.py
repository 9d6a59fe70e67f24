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

    Beyond theta = pi - m the cosine would rise again. With `easy_margin` only targets with cos theta > 0 get the margin.

    Args:
        embedding_size: D.
        class_num: C, identities.
        m: margin in radians, 0..pi.
        s: factor of the cosines, > 0.
        easy_margin: no margin for targets further than a right angle.
        beyond: the target's cosine where theta + m > pi: "linear", cos theta - m sin m, still falling; "clip", -1; "none", as the formula.
        sample_ratio: share of the classes that one step sees, above 0, at most 1.
        class_parallel: whether processes share the centres out; None: where they are sampled.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C), see CosineHead for the sampled ones

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are no integers, or not as many as rows.
    """

    def __init__(
        self,
        embedding_size: int,
        class_num: ClassNum,
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
        self.m, self.easy_margin, self.beyond = m, easy_margin, beyond

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        moved = cosine * math.cos(self.m) - sine(cosine) * math.sin(self.m)
        if self.easy_margin:
            return paddle.where(cosine > 0, moved, cosine)
        if self.beyond == "none":
            return moved
        instead = cosine - self.m * math.sin(self.m) if self.beyond == "linear" else paddle.full_like(cosine, -1.0)
        return paddle.where(cosine >= math.cos(math.pi - self.m), moved, instead)
