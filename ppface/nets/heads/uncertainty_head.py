"""UncertaintyHead: the variance of every number of an embedding, beside the embedding of a trained backbone."""

import math
from typing import Annotated

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.regularizer import L2Decay

from ppface.core.errors import UserError
from ppface.core.registry import Supplied, register
from ppface.nets.layers.fast import Whiten

FLOOR = 1e-6  # least variance
TINY = 1e-12  # a norm up to this counts as zero


@register("head")
class UncertaintyHead(nn.Layer):
    """Probabilistic face embeddings, Shi and Jain 2019, https://arxiv.org/abs/1904.09658, section 4.3, as in
    https://github.com/seasonSH/Probabilistic-Face-Embeddings, for MLSLoss and `model: {freeze: [backbone]}`.

        z = BN(FC(relu(BN(FC(last feature map))))),   variance = 1e-6 + exp(scale z + shift),   embedding = x / |x|

    The second batch norm has no weight and bias; scale and shift are one number each, for all dimensions. Unlike the heads with class
    centres it is part of what is exported. In float32, also under autocast.

    Args:
        in_channels: output channels of the backbone, one embedding of D numbers.
        backbone: one that gives its last feature map, with `keeps_map`, which is set here, and `map_shape`.
        scale: first value of the scale.
        shift: first value of the shift: the logarithm of the variances in the beginning.
        momentum: share of the old value in the running statistics of batch norm, 0..1; smaller for trainings of few steps.

    Shape:
        (N, D), (N, C, h, w) -> {"embedding": (N, D) unit vectors, "variance": (N, D) > 0, "norm": (N, 1) the length before, "quality": (N,)
        minus the harmonic mean of the variance}

    Raises:
        ValueError: a backbone without a feature map of one size, or momentum out of its range.
        UserError: in training, a backbone that is not frozen.
    """

    takes = ()

    def __init__(
        self,
        in_channels: Annotated[list[int], Supplied("by the backbone")],
        backbone: Annotated[nn.Layer, Supplied("by the model")],
        scale: float = 1e-4,
        shift: float = -7.0,
        momentum: float = 0.995,
    ):
        super().__init__()
        if getattr(backbone, "any_size", True) or not hasattr(backbone, "keeps_map") or len(in_channels) != 1:
            raise ValueError(
                "UncertaintyHead: expected a backbone that gives its last feature map, of one size (AdaFace_IR_*, IResNet, "
                f"InsightMobileFaceNet, or MobileFaceNet without pooling 'avg'), received {type(backbone).__name__}"
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"UncertaintyHead: expected momentum of at least 0 and below 1, received {momentum}")
        backbone.keeps_map = True
        self.backbone, self.embedding_size = (backbone,), in_channels[0]
        self.fc1 = nn.Linear(math.prod(backbone.map_shape), self.embedding_size, bias_attr=False)
        self.bn1 = nn.BatchNorm1D(self.embedding_size, momentum, 1e-3)
        self.fc2 = nn.Linear(self.embedding_size, self.embedding_size, bias_attr=False)
        self.bn2 = Whiten(self.embedding_size, momentum, 1e-3)
        self.scale, self.shift = self._number(scale), self._number(shift)

    def _number(self, value: float) -> paddle.Tensor:
        """A learned number without weight decay, which would pull the variances towards 1."""
        return self.create_parameter([1], paddle.ParamAttr(initializer=nn.initializer.Constant(value), regularizer=L2Decay(0.0)))

    def forward(self, features: tuple[paddle.Tensor, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        if self.training and self.backbone[0].training:
            raise UserError("UncertaintyHead: expected a trained backbone that is not changed any more: set model.freeze: [backbone]")
        with paddle.amp.auto_cast(enable=False):
            embedding, last = (feature.astype("float32") for feature in features)
            norm = paddle.sqrt((embedding * embedding).sum(axis=1, keepdim=True))
            z = self.bn2(self.fc2(F.relu(self.bn1(self.fc1(last.flatten(1))))))
            variance = FLOOR + (self.scale * z + self.shift).exp()
            quality = -self.embedding_size / (1 / variance).sum(axis=1)
            return {"embedding": embedding / norm.clip(min=TINY), "variance": variance, "norm": norm, "quality": quality}
