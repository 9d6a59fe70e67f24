"""Triplet loss over the embeddings of a batch, with three ways of mining."""

from typing import Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.core.run.log import log


@register("loss")
class TripletLoss(nn.Layer):
    """Triplet loss of FaceNet, Schroff et al. 2015, https://arxiv.org/abs/1503.03832, equation 2, on unit embeddings.

        l(a, p, n) = [d(a, p) - d(a, n) + margin]+,   p another embedding of a's person, n one of another person

    "batch_all": the mean of all l > 0 of the batch; "batch_hard": for each a the farthest p and the nearest n, the mean over all a that
    have both, zeros included; both of Hermans et al. 2017, https://arxiv.org/abs/1703.07737, section 2. "semi_hard": the mean of l where
    d(a, p) < d(a, n) < d(a, p) + margin, section 3.2 of FaceNet, over all such triplets. No gradient is infinite where two embeddings are
    equal. Without a triplet the loss is 0; a batch that can have none is reported once. Triplets are those of one process. In float32, also
    under autocast.

    Args:
        margin: least difference of distances that costs nothing, > 0.
        mining: see above.
        distance: "squared" L2 as in FaceNet, or "euclidean", its root, as in most ports.
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs["embedding"] (N, D), batch["label"] (N,) int64 -> {"triplet": scalar}

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: Literal["batch_all", "batch_hard", "semi_hard"] = "batch_all",
        distance: Literal["squared", "euclidean"] = "squared",
        weight: float = 1.0,
    ):
        super().__init__()
        if margin <= 0 or weight < 0:
            raise ValueError(f"TripletLoss: expected margin > 0 and weight >= 0, received margin={margin}, weight={weight}")
        self.margin, self.mining, self.distance, self.weight, self._warned = margin, mining, distance, weight, False

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        label = batch["label"].flatten().numpy()
        same = label[:, None] == label
        positive = same & ~np.eye(len(label), dtype=bool)
        usable = positive.any(axis=1) & ~same.all(axis=1)
        if not usable.any() and not self._warned:
            self._warned = True
            log.warning("TripletLoss: a batch without two pictures of one person and one of another: its loss is 0; use IdentityBatches")
        with paddle.amp.auto_cast(enable=False):
            distances = self._distances(outputs["embedding"].astype("float32"))
            if not usable.any():
                return {"triplet": 0 * distances.sum()}
            mined = (
                self._hardest(distances, positive, same, usable) if self.mining == "batch_hard" else self._all(distances, positive, same)
            )
            return {"triplet": self.weight * mined}

    def _distances(self, embedding: paddle.Tensor) -> paddle.Tensor:
        """(N, N) distances between the unit embeddings."""
        unit = F.normalize(embedding, axis=1, epsilon=1e-12)
        squared = (2 - 2 * paddle.matmul(unit, unit, transpose_y=True)).clip(min=0)
        if self.distance == "squared":
            return squared
        return paddle.where(squared > 0, paddle.sqrt(squared.clip(min=1e-12)), paddle.zeros_like(squared))

    def _all(self, distances: paddle.Tensor, positive: np.ndarray, same: np.ndarray) -> paddle.Tensor:
        """Mean over the triplets with a loss, or over the semi-hard ones: a row for each pair of one person, a column for each n."""
        anchor, other = np.nonzero(positive)
        to_positive = paddle.gather_nd(distances, paddle.to_tensor(np.stack([anchor, other], axis=1))).unsqueeze(1)
        to_negative = paddle.index_select(distances, paddle.to_tensor(anchor), axis=0)
        loss = F.relu(to_positive - to_negative + self.margin)
        counted = paddle.to_tensor(~same[anchor]) & (loss.detach() > 1e-16)
        if self.mining == "semi_hard":
            counted = counted & (to_negative.detach() > to_positive.detach())
        weight = counted.astype("float32")
        return (loss * weight).sum() / weight.sum().clip(min=1)

    def _hardest(self, distances: paddle.Tensor, positive: np.ndarray, same: np.ndarray, usable: np.ndarray) -> paddle.Tensor:
        """Mean over the anchors with a positive and a negative."""
        far = paddle.where(paddle.to_tensor(positive), distances, paddle.full_like(distances, -np.inf)).max(axis=1)
        near = paddle.where(paddle.to_tensor(same), paddle.full_like(distances, np.inf), distances).min(axis=1)
        rows = paddle.to_tensor(np.flatnonzero(usable))
        return F.relu(far[rows] - near[rows] + self.margin).mean()
