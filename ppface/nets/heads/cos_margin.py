"""CosMargin: the additive cosine margin of CosFace and AM-Softmax."""

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels


@register("head")
class CosMargin(CosineHead):
    """CosFace, Wang et al. 2018, https://arxiv.org/abs/1801.09414, equation 4; with s = 30 and m = 0.35
    AM-Softmax, https://arxiv.org/abs/1801.05599.

        target: s * (cos theta - m);   others: s * cos theta

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: margin, subtracted from the cosine.
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
        m: float = 0.4,
        s: float = 64.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1.0, sample_ratio, class_parallel, in_channels)
        self.m = m

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        return cosine - self.m
