"""Triplet loss over the embeddings of a batch, with three ways of mining."""

from typing import Literal, get_args

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import register
from ppface.core.run.log import log
from ppface.ops import process_group

Mining = Literal["batch_all", "batch_hard", "semi_hard", "given"]
Distance = Literal["squared", "euclidean"]


@register("loss")
class TripletLoss(nn.Layer):
    """Triplet loss of FaceNet, Schroff et al. 2015, https://arxiv.org/abs/1503.03832, equation 2, on unit embeddings.

        l(a, p, n) = [d(a, p) - d(a, n) + margin]+,   p another embedding of a's person, n one of another person

    "batch_all": the mean of all l > 0 of the batch; "batch_hard": for each a the farthest p and the nearest n, the mean over all a that
    have both, zeros included; both of Hermans et al. 2017, https://arxiv.org/abs/1703.07737, section 2. "semi_hard": the mean of l where
    d(a, p) < d(a, n) < d(a, p) + margin, section 3.2 of FaceNet, over all such triplets. With several processes these three form triplets
    across them. "given": the triplets are chosen already, as by the sampler OfflineTriplets: the first third of the rows are anchors, the
    second their positives, the last their negatives, and the loss is the mean over all of them, zeros included.

    No gradient is infinite where two embeddings are equal. Without a triplet the loss is 0; a batch that can have none is reported once. In
    float32, also under autocast.

    Args:
        margin: least difference of distances that costs nothing, > 0.
        mining: see above.
        distance: "squared" L2 as in FaceNet, or "euclidean", its root, as in most ports.
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs["embedding"] (N, D), batch["label"] (N,) int64 -> {"triplet": scalar}

    Raises:
        ValueError: an argument out of its range.
        UserError: "given" with a batch that is not anchors, positives and negatives.
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: Mining = "batch_all",
        distance: Distance = "squared",
        weight: float = 1.0,
    ):
        super().__init__()
        if margin <= 0 or weight < 0:
            raise ValueError(f"TripletLoss: expected margin > 0 and weight >= 0, received margin={margin}, weight={weight}")
        for name, value, choices in (("mining", mining, get_args(Mining)), ("distance", distance, get_args(Distance))):
            if value not in choices:
                raise ValueError(f"TripletLoss: expected {name} to be one of {', '.join(choices)}, received {value!r}")
        self.margin, self.mining, self.distance, self.weight, self._warned = margin, mining, distance, weight, False

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        with paddle.amp.auto_cast(enable=False):
            embedding, label = outputs["embedding"].astype("float32"), batch["label"].flatten()
            if self.mining == "given":
                return {"triplet": self.weight * self._given(F.normalize(embedding, axis=1, epsilon=1e-12), label.numpy())}
            if process_group.size() > 1:
                embedding, label = process_group.paired_rows(embedding), process_group.gathered(label)
            unit, label = F.normalize(embedding, axis=1, epsilon=1e-12), label.numpy()
            distances = self._distances(2 - 2 * paddle.matmul(unit, unit, transpose_y=True))
            same = label[:, None] == label
            positive = same & ~np.eye(len(label), dtype=bool)
            usable = positive.any(axis=1) & ~same.all(axis=1)
            if not usable.any():
                self._report()
                return {"triplet": 0 * distances.sum()}
            mined = (
                self._hardest(distances, positive, same, usable) if self.mining == "batch_hard" else self._all(distances, positive, same)
            )
            return {"triplet": self.weight * mined}

    def _report(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "TripletLoss: a batch without a positive or without a negative pair: its loss is 0; use IdentityBatches with images >= 2"
            )

    def _distances(self, squared: paddle.Tensor) -> paddle.Tensor:
        """Distances of unit embeddings, of which these are the squares but for errors of rounding."""
        squared = squared.clip(min=0)
        if self.distance == "squared":
            return squared
        return paddle.where(squared > 0, paddle.sqrt(squared.clip(min=1e-12)), paddle.zeros_like(squared))

    def _given(self, unit: paddle.Tensor, label: np.ndarray) -> paddle.Tensor:
        """Mean over the triplets of rows i, i + T and i + 2 T of 3 T."""
        thirds = label[: len(label) // 3 * 3].reshape(3, -1)
        if thirds.size < max(3, len(label)) or (thirds[0] != thirds[1]).any() or (thirds[0] == thirds[2]).any():
            raise UserError(
                "TripletLoss: expected anchors, as many positives and as many negatives in the batch of each process with mining=given, "
                "received another order of people: use the sampler OfflineTriplets, with batch_size three times its triplets"
            )
        anchor, positive, negative = paddle.split(unit, 3)
        to_positive, to_negative = (self._distances(((anchor - other) ** 2).sum(axis=1)) for other in (positive, negative))
        return F.relu(to_positive - to_negative + self.margin).mean()

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
