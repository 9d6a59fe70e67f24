"""CombinedMargin: the multiplied, added and cosine margins of SphereFace, ArcFace and CosFace in one."""

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels, sine


@register("head")
class CombinedMargin(CosineHead):
    """The combined margin of Deng et al. 2019, https://arxiv.org/abs/1801.07698, equation 4.

        target: s * (cos(m1 theta + m2) - m3);   others: s * cos theta

    No fallback is applied where the angle exceeds pi.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m1: factor on the angle, > 0.
        m2: added to the angle, in radians.
        m3: subtracted from the cosine.
        s: scale of the cosines, > 0.
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
        m1: float = 1.0,
        m2: float = 0.5,
        m3: float = 0.0,
        s: float = 64.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1.0, sample_ratio, class_parallel, in_channels)
        if not m1 > 0:
            raise ValueError(f"CombinedMargin: expected m1 > 0, received m1={m1}")
        self.m1, self.m2, self.m3 = m1, m2, m3

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        theta = paddle.atan2(sine(cosine), cosine)  # unlike arccos, its gradient is finite at 0 and pi
        return paddle.cos(self.m1 * theta + self.m2) - self.m3
