"""Circle loss over the pairs of embeddings of a batch."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.ops import process_group

LOG_ZERO = -1e30  # exp of it is 0, and differences of two are still finite


@register("loss")
class CircleLoss(nn.Layer):
    """Circle loss with pair-wise labels, Sun et al. 2020, https://arxiv.org/abs/2002.10857, equations 5 to 8, s the cosine of a pair.

        softplus(logsumexp over negatives of gamma [s + m]+ (s - m) + logsumexp over positives of -gamma [1 + m - s]+ (s - (1 - m)))

    The factors in brackets have no gradient. Form "batch" takes every pair of the batch once, as https://github.com/TinyZeaMays/CircleLoss;
    "anchor" takes the pairs of each embedding with all others and the mean over the embeddings with a loss above 0, as
    https://github.com/KevinMusgrave/pytorch-metric-learning. The two give different values. Without a positive or a negative pair the loss
    is 0; a warning is logged once. With several processes pairs are formed across them. In float32, also under autocast.

    Args:
        m: relaxation, 0..1.
        gamma: scale, > 0.
        form: see above.
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs["embedding"] (N, D), batch["label"] (N,) int64 -> {"circle": scalar}

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, m: float = 0.25, gamma: float = 256.0, form: Literal["batch", "anchor"] = "batch", weight: float = 1.0):
        super().__init__()
        if not 0 <= m <= 1 or gamma <= 0 or weight < 0:
            raise ValueError(f"CircleLoss: expected m in 0..1, gamma > 0 and weight >= 0, received {m=}, {gamma=}, {weight=}")
        if form not in ("batch", "anchor"):
            raise ValueError(f"CircleLoss: expected form to be batch or anchor, received {form!r}")
        self.m, self.gamma, self.form, self.weight, self._warned = m, gamma, form, weight, False

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        with paddle.amp.auto_cast(enable=False):
            embedding, label = outputs["embedding"].astype("float32"), batch["label"].flatten()
            if process_group.size() > 1:
                embedding, label = process_group.paired_rows(embedding), process_group.gathered(label)
            unit = F.normalize(embedding, axis=1, epsilon=1e-12)
            similarity = paddle.matmul(unit, unit, transpose_y=True)
            same = label.unsqueeze(0) == label.unsqueeze(1)
            pairs = paddle.ones_like(similarity).triu(1) if self.form == "batch" else 1 - paddle.eye(label.shape[0])
            loss, counts = self._losses(similarity, same & (pairs > 0), ~same & (pairs > 0))
            if not (self._warned or counts.any().item()):
                self._warned = True
                log.warning(
                    "CircleLoss: a batch without a positive or without a negative pair: its loss is 0; use IdentityBatches with images >= 2"
                )
            counted = (loss.detach() > 0).astype("float32").sum().clip(min=1)
            return {"circle": self.weight * loss.sum() / counted}

    def _losses(self, s: paddle.Tensor, positive: paddle.Tensor, negative: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """(The loss of all pairs (1,) or of each row's pairs (N,), whether there are positives and negatives in it); 0 where not."""
        fixed = s.detach()
        down = self.gamma * F.relu(fixed + self.m) * (s - self.m)
        up = -self.gamma * F.relu(1 + self.m - fixed) * (s - (1 - self.m))
        total, counts = paddle.zeros([1]), paddle.ones([1], dtype="bool")
        for logits, chosen in ((down, negative), (up, positive)):
            logits = paddle.where(chosen, logits, paddle.full_like(logits, LOG_ZERO))
            if self.form == "batch":
                logits, chosen = logits.reshape([1, -1]), chosen.reshape([1, -1])
            total, counts = total + paddle.logsumexp(logits, axis=1), counts & chosen.any(axis=1)
        loss = F.softplus(paddle.where(counts, total, paddle.zeros_like(total)))
        return paddle.where(counts, loss, paddle.zeros_like(loss)), counts
