"""MLS loss: the mutual likelihood of embeddings with variances, of the pairs of one person."""

import paddle
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.ops import process_group

TINY = 1e-10  # added to the divisor


@register("loss")
class MLSLoss(nn.Layer):
    """Negative mutual likelihood score of PFE, Shi and Jain 2019, https://arxiv.org/abs/1904.09658, sections 4.1 and 4.3, with an
    UncertaintyHead.

        L = weight * mean over pairs i, j of one person of sum_d ((x_i - x_j)^2 / (v_i + v_j) + ln(v_i + v_j))

    Without such a pair the loss is 0; a warning is logged once. With several processes pairs are formed across them. In float32, also
    under autocast.

    Args:
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs["embedding"] x (N, D), outputs["variance"] v (N, D), batch["label"] (N,) int64 -> {"mls": scalar}

    Raises:
        ValueError: a negative weight.
        UserError: a head without variances.
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        if weight < 0:
            raise ValueError(f"MLSLoss: expected weight >= 0, received weight={weight}")
        self.weight, self._warned = weight, False

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        if "variance" not in outputs:
            raise UserError("MLSLoss: expected a head with variances, received one without: set model.head={name: UncertaintyHead}")
        with paddle.amp.auto_cast(enable=False):
            x, v, label = outputs["embedding"].astype("float32"), outputs["variance"].astype("float32"), batch["label"].flatten()
            if process_group.size() > 1:
                x, v, label = process_group.paired_rows(x), process_group.paired_rows(v), process_group.gathered(label)
            same = (label.unsqueeze(0) == label.unsqueeze(1)).astype("int32").triu(1)  # a pair's score is the same in both orders
            pairs = same.nonzero()
            if pairs.shape[0] == 0:
                if not self._warned:
                    self._warned = True
                    log.warning("MLSLoss: a batch without two pictures of one person: its loss is 0; use IdentityBatches with images >= 2")
                return {"mls": 0.0 * v.sum()}
            i, j = pairs.unbind(1)
            total = v.gather(i) + v.gather(j)
            score = ((x.gather(i) - x.gather(j)) ** 2 / (TINY + total) + total.log()).sum(axis=1)
            return {"mls": self.weight * score.mean()}
