"""Center loss: pull every embedding towards the running centre of its class."""

from typing import Annotated

import paddle
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import Supplied, register
from ppface.ops import process_group
from ppface.ops.labels import labels_of


@register("loss")
class CenterLoss(nn.Layer):
    """Center loss, Wen et al. 2016, https://doi.org/10.1007/978-3-319-46478-7_31, equations 2 to 4.

        L = weight / 2 * mean_i ||x_i - c_{y_i}||^2
        c_j <- c_j - alpha * sum_{i: y_i = j} (c_j - x_i) / (1 + n_j),   n_j embeddings of class j in the batch

    The centres follow the second rule, not the optimizer, and get no gradient. With several processes n_j and the sum run over the
    batches of all of them, so that every process holds the same centres. In float32, also under autocast.

    Args:
        embedding_size: D, > 0.
        class_num: identities, > 0.
        alpha: how fast centres follow, 0..1.
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs["embedding"] (N, D), batch["label"] (N,) int64 -> {"center": scalar}; buffer centers (class_num, D)

    Raises:
        ValueError: an argument out of its range.
        UserError: embeddings of another size.
        DataError: a label outside 0..class_num-1, labels that are no integers, or not as many as embeddings.
    """

    def __init__(
        self,
        embedding_size: Annotated[int, Supplied("by the model", writable=True)],
        class_num: Annotated[int, Supplied("by the data", writable=True)],
        alpha: float = 0.5,
        weight: float = 0.003,
    ):
        super().__init__()
        if embedding_size < 1 or class_num < 1:
            raise ValueError(f"CenterLoss: expected embedding_size and class_num of at least 1, received {embedding_size} and {class_num}")
        if not 0 <= alpha <= 1 or weight < 0:
            raise ValueError(f"CenterLoss: expected alpha in 0..1 and weight >= 0, received alpha={alpha}, weight={weight}")
        self.embedding_size, self.class_num, self.alpha, self.weight = embedding_size, class_num, alpha, weight
        self.register_buffer("centers", paddle.zeros([class_num, embedding_size]))

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        with paddle.amp.auto_cast(enable=False):
            x = outputs["embedding"].astype("float32")
            if x.shape[1] != self.embedding_size:
                raise UserError(f"CenterLoss: expected embedding_size={x.shape[1]}, that of the model, received {self.embedding_size}")
            y = paddle.to_tensor(labels_of("CenterLoss", batch["label"], x.shape[0], self.class_num))
            distance = x - self.centers[y]
            if self.training:
                self._follow(distance.detach(), y)
            return {"center": self.weight / 2 * (distance**2).sum(axis=1).mean()}

    @paddle.no_grad()
    def _follow(self, distance: paddle.Tensor, y: paddle.Tensor) -> None:
        if process_group.size() > 1:
            distance, y = process_group.gathered(distance), process_group.gathered(y)
        count = paddle.bincount(y, minlength=self.class_num).astype("float32")
        pull = paddle.zeros_like(self.centers).index_add(y, 0, distance)  # one class may be in the batch many times
        self.centers.set_value(self.centers + self.alpha * pull / (1 + count).unsqueeze(1))
