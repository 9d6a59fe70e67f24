"""CurricularMargin: the adaptive curriculum of CurricularFace."""

import math

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels, sine
from ppface.ops import process_group


@register("head")
class CurricularMargin(CosineHead):
    """CurricularFace, Huang et al. 2020, https://arxiv.org/abs/2004.00288, equations 5 to 9, with the fallback of its code,
    https://github.com/HuangYG123/CurricularFace.

        target: s cos(theta_y + m), or s (cos theta_y - m sin m) where theta_y + m > pi
        others: s cos theta_j, or s cos theta_j (t + cos theta_j) where cos theta_j > cos(theta_y + m)
        t <- 0.01 * mean of cos theta_y in the batch + 0.99 t, before it is used, only in training, without gradient

    The mean runs over the embeddings of all processes. With sampled classes the others are the sampled ones.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: margin in radians, 0..pi.
        s: scale of the cosines, > 0.
        sample_ratio: share of the classes used in one step, above 0, at most 1.
        class_parallel: whether the class centres are split over processes; None: if they are sampled.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C), see CosineHead for sampled classes; buffer t (1,)

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
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1.0, sample_ratio, class_parallel, in_channels)
        if not 0 <= m <= math.pi:
            raise ValueError(f"CurricularMargin: expected m in 0..pi, received m={m}")
        self.m = m
        self.register_buffer("t", paddle.zeros([1]))

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        return paddle.where(cosine > math.cos(math.pi - self.m), self._shifted(cosine), cosine - self.m * math.sin(self.m))

    def others(self, cosine: paddle.Tensor, target: paddle.Tensor | None, rows: paddle.Tensor) -> paddle.Tensor:
        targets = self._all_targets(cosine.shape[0], target, rows)
        if self.training:
            self._follow(targets)
        hard = cosine > self._shifted(targets).unsqueeze(1)
        return paddle.where(hard, cosine * (self.t + cosine), cosine)

    def _shifted(self, cosine: paddle.Tensor) -> paddle.Tensor:
        return cosine * math.cos(self.m) - sine(cosine) * math.sin(self.m)

    def _all_targets(self, count: int, target: paddle.Tensor | None, rows: paddle.Tensor) -> paddle.Tensor:
        """The cosines of the targets of all rows (N,), without gradient, also of those that another process holds."""
        targets = paddle.zeros([count])
        if target is not None:
            targets = paddle.scatter(targets, rows, target.detach())
        return process_group.summed(targets) if self.split else targets

    @paddle.no_grad()
    def _follow(self, targets: paddle.Tensor) -> None:
        if process_group.size() > 1 and not self.split:
            targets = process_group.gathered(targets)
        self.t.set_value(0.01 * targets.mean() + 0.99 * self.t)
