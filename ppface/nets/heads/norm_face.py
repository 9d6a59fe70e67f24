"""NormFace: a softmax over scaled cosines, without a margin."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels
from ppface.ops import process_group


@register("head")
class NormFace(CosineHead):
    """NormFace, Wang et al. 2017, https://arxiv.org/abs/1704.06369, section 3.3: logits = s * cos theta.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        s: scale of the cosines, > 0.
        learn_s: make the scale a trainable parameter, starting at s.
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
        s: float = 30.0,
        learn_s: bool = False,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1.0, sample_ratio, class_parallel, in_channels)
        self.factor = self.create_parameter([1], default_initializer=nn.initializer.Constant(s)) if learn_s else None

    def scale(self) -> float | paddle.Tensor:
        if self.factor is None:
            return self.s
        return process_group.replicated(self.factor) if self.split else self.factor
