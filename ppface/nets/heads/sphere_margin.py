"""SphereMargin: the multiplied angle of SphereFace."""

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, InChannels, projections
from ppface.nets.layers.multiple_angle import MultipleAngleHead


@register("head")
class SphereMargin(MultipleAngleHead):
    """SphereFace (A-Softmax), Liu et al. 2017, https://arxiv.org/abs/1704.08063, equations 6 and 7; the blend of its appendix with the
    numbers of its code, https://github.com/wy1iu/sphereface.

        target: |x| (lambda cos theta + psi(theta)) / (1 + lambda);   others: |x| cos theta
        psi(theta) = (-1)^k cos(m theta) - 2k,   k = floor(m theta / pi)
        lambda = max(lambda_min, base (1 + gamma iteration)^-power), iteration raised before use, only in training

    Centres are normalised, embeddings are not. Without the blend trainings diverge.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: multiple of the angle, >= 1.
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
        gamma: float = 0.12,
        power: float = 1.0,
        lambda_min: float = 5.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, (base, gamma, power, lambda_min), m, sample_ratio, class_parallel, in_channels)

    def similarity(self, rows: paddle.Tensor, centres: paddle.Tensor) -> paddle.Tensor:
        return projections(rows, centres)
