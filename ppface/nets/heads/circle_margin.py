"""CircleMargin: the class form of circle loss."""

import paddle
import paddle.nn.functional as F

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels


@register("head")
class CircleMargin(CosineHead):
    """Circle loss with class centres, Sun et al. 2020, https://arxiv.org/abs/2002.10857, equations 5 to 8.

        target: gamma [1 + m - cos theta]+ (cos theta - (1 - m));   others: gamma [cos theta + m]+ (cos theta - m)

    The factors in brackets have no gradient. Train it with CELoss; `CircleLoss` is the form for pairs of embeddings.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: relaxation, 0..1.
        gamma: scale, > 0.
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
        m: float = 0.25,
        gamma: float = 256.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        if gamma <= 0 or not 0 <= m <= 1:
            raise ValueError(f"CircleMargin: expected m in 0..1 and gamma > 0, received m={m}, gamma={gamma}")
        super().__init__(embedding_size, class_num, gamma, 1.0, sample_ratio, class_parallel, in_channels)
        self.m = m

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        return F.relu(1 + self.m - cosine.detach()) * (cosine - (1 - self.m))

    def others(self, cosine: paddle.Tensor, target: paddle.Tensor | None, rows: paddle.Tensor) -> paddle.Tensor:
        return F.relu(cosine.detach() + self.m) * (cosine - self.m)
