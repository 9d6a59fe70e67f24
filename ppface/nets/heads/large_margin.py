"""LargeMargin: the multiplied angle of L-Softmax."""

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, InChannels, norms
from ppface.nets.layers.multiple_angle import MultipleAngleHead


@register("head")
class LargeMargin(MultipleAngleHead):
    """L-Softmax, Liu et al. 2016, https://arxiv.org/abs/1612.02295, equations 5 to 7; the blend of section 5.1 with the numbers of
    https://github.com/wy1iu/LargeMargin_Softmax_Loss.

        target: |w| |x| (lambda cos theta + psi(theta)) / (1 + lambda);   others: w . x
        psi(theta) = (-1)^k cos(m theta) - 2k,   k = floor(m theta / pi)
        lambda = max(lambda_min, base (1 + gamma iteration)^-power), iteration raised before use, only in training

    Neither embeddings nor centres are normalised.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: multiple of the angle, >= 1; 1 is a softmax without bias.
        base: lambda at the start, >= 0.
        gamma: how fast lambda falls, >= 0.
        power: of the fall, >= 0.
        lambda_min: least lambda, >= 0.
        sample_ratio: share of the classes used in one step, above 0, at most 1.
        class_parallel: whether the class centres are split over processes; None: if they are sampled.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C), see CosineHead for sampled classes; buffer iteration (1,) int64

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are not integers, or a number of labels other than N.
    """

    def __init__(
        self,
        embedding_size: int,
        class_num: ClassNum = None,
        m: int = 4,
        base: float = 1000.0,
        gamma: float = 2.5e-5,
        power: float = 35.0,
        lambda_min: float = 0.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, (base, gamma, power, lambda_min), m, sample_ratio, class_parallel, in_channels)

    def similarity(self, rows: paddle.Tensor, centres: paddle.Tensor) -> paddle.Tensor:
        return paddle.matmul(rows, centres)

    def length(self, norm: paddle.Tensor, centres: paddle.Tensor, columns: paddle.Tensor) -> paddle.Tensor:
        return norm * norms(paddle.index_select(centres, columns, axis=1).T)
