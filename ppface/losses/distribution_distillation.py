"""Distribution distillation: similarities of hard samples are distributed as those of easy ones."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.ops import process_group

EPSILON = 1e-9  # added to probabilities, as the authors do
PAIRS = {"positive": "pair of one person with a cosine above 0", "negative": "pair of two people"}


@register("loss")
class DistributionDistillation(nn.Layer):
    """Distribution distillation loss, DDL, Huang et al. 2020, https://arxiv.org/abs/2002.03662, as in the authors' code,
    https://github.com/Tencent/TFace, recognition/torchkit/loss/ddl.py, beside a loss of the classes.

        L = w_positive KL(P+_easy || P+_hard) + w_negative KL(P-_easy || P-_hard)
            + w_order sum over h, k in {easy, hard} of (mean s-_h - mean s+_k)

    s+ are the cosines > 0 of all pairs of one person in a half of the batch, s- those of each sample with the most similar one of another
    person in its half. P are histograms: bins t = 0, 1 / bins, ..., of sum_i exp(-(s_i - t)^2 / (2 spread^2)), divided by their sum. Both
    halves get gradients. Half of a batch without such a pair: the loss is 0; a warning is logged once. With several processes the halves
    are those of all processes together. In float32, also under autocast.

    Args:
        positive_weight: w_positive, >= 0.
        negative_weight: w_negative, >= 0.
        order_weight: w_order, >= 0.
        bins: of a histogram, >= 2.
        spread: width of the kernel around a similarity, > 0.
        negatives: "all" compares each sample with all of other people, as the paper; "later" only with those that follow in the batch, and
            with 0, as the authors' code.

    Shape:
        outputs["embedding"] (N, D), batch["label"] (N,) int64, batch["hard"] (N,) bool -> {"positive_kl", "negative_kl", "order": scalars}

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        positive_weight: float = 0.1,
        negative_weight: float = 0.02,
        order_weight: float = 0.5,
        bins: int = 1000,
        spread: float = 0.1,
        negatives: Literal["all", "later"] = "all",
    ):
        super().__init__()
        if min(positive_weight, negative_weight, order_weight) < 0 or bins < 2 or spread <= 0:
            received = f"{positive_weight}, {negative_weight}, {order_weight}, bins={bins}, spread={spread}"
            raise ValueError(f"DistributionDistillation: expected weights >= 0, bins >= 2 and spread > 0, received {received}")
        if negatives not in ("all", "later"):
            raise ValueError(f"DistributionDistillation: expected negatives to be all or later, received {negatives!r}")
        self.weights = {"positive_kl": positive_weight, "negative_kl": negative_weight, "order": order_weight}
        self.bins, self.spread, self.negatives, self._warned = bins, spread, negatives, False

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        with paddle.amp.auto_cast(enable=False):
            embedding, label, hard = (
                outputs["embedding"].astype("float32"),
                batch["label"].flatten(),
                batch["hard"].flatten().astype("bool"),
            )
            if process_group.size() > 1:
                embedding, label = process_group.paired_rows(embedding), process_group.gathered(label)
                hard = process_group.gathered(hard.astype("int32")) > 0
            unit = F.normalize(embedding, axis=1, epsilon=1e-12)
            halves = {"easy": ~hard, "hard": hard}
            pairs = {(name, kind): s for name, chosen in halves.items() for kind, s in self._similarities(unit, label, chosen).items()}
            missing = next((f"{PAIRS[kind]} among its {half} samples" for (half, kind), s in pairs.items() if not s.shape[0]), None)
            if missing:
                self._report(missing)
                return {name: 0 * embedding.sum() for name in self.weights}
            losses = {f"{kind}_kl": self._divergence(pairs["easy", kind], pairs["hard", kind]) for kind in ("positive", "negative")}
            order = [pairs[h, "negative"].mean() - pairs[k, "positive"].mean() for h in halves for k in halves]
            losses["order"] = paddle.add_n(order)
            return {name: weight * losses[name] for name, weight in self.weights.items()}

    def _report(self, missing: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("DistributionDistillation: a batch without a %s: its loss is 0; use the sampler EasyHardBatches", missing)

    def _similarities(self, unit: paddle.Tensor, label: paddle.Tensor, chosen: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{"positive": (P,), "negative": (Q,)} of the chosen rows, either of which may be empty."""
        rows = paddle.nonzero(chosen).flatten()
        if rows.shape[0] < 2:
            return {"positive": unit[:0, 0], "negative": unit[:0, 0]}
        unit, label = unit[rows], label[rows]
        similarity = paddle.matmul(unit, unit, transpose_y=True)
        same = label.unsqueeze(0) == label.unsqueeze(1)
        later = paddle.ones_like(similarity).triu(1) > 0
        counted, others = later & same & (similarity.detach() > 0), ~same
        if self.negatives == "later":
            nearest = paddle.where(others & later, similarity, paddle.zeros_like(similarity)).max(axis=1)
        else:
            nearest = paddle.where(others, similarity, paddle.full_like(similarity, -2)).max(axis=1)  # below all cosines
        return {"positive": paddle.masked_select(similarity, counted), "negative": paddle.masked_select(nearest, others.any(axis=1))}

    def _divergence(self, easy: paddle.Tensor, hard: paddle.Tensor) -> paddle.Tensor:
        p, q = self._histogram(easy) + EPSILON, self._histogram(hard) + EPSILON
        return (p * (p.log() - q.log())).sum()

    def _histogram(self, s: paddle.Tensor) -> paddle.Tensor:
        """(bins,) with the sum 1."""
        t = paddle.arange(self.bins, dtype="float32") / self.bins
        weight = paddle.exp(-(((s.unsqueeze(1) - t) / self.spread) ** 2) / 2).sum(axis=0)
        return weight / weight.sum()
