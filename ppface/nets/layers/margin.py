"""What every head over class centres shares: cosines, the place of the margin, sampled centres, and centres spread over processes."""

import math
from typing import Annotated

import numpy as np
import paddle
from paddle import nn

from ppface.core.registry import Supplied
from ppface.core.run.log import log
from ppface.ops import process_group
from ppface.ops.labels import labels_of
from ppface.ops.sampling import sample_classes

ClassNum = Annotated[int, Supplied("by the data", writable=True)]
InChannels = Annotated[list[int] | None, Supplied("by the backbone")]
TINY = 1e-24  # a squared length below which a vector has no direction


class CosineHead(nn.Layer):
    """logits = s * cos(embedding, centre), with the target's cosine changed by `margin`; in float32, also under autocast.

    `sample_ratio` is Partial FC, An et al. 2022, https://arxiv.org/abs/2203.15565, section 3.2: a step sees all classes of its batch and as
    many others, drawn evenly, as make up the ratio. With an optimizer of ppface.optim only those columns get a gradient, momentum and
    weight decay, and a step's time follows their number. Other optimizers get a gradient over the whole kernel, zero elsewhere: their
    momentum and weight decay move the columns that a step did not see, which is not Partial FC, and a warning says so.

    With `class_parallel` each process holds its share of the columns and sees the rows of all processes.

    Args:
        embedding_size: D.
        class_num: C, identities.
        s: factor of the cosines, > 0.
        limit: cosines are clipped to -limit..limit.
        sample_ratio: share of the classes that one step sees, above 0, at most 1.
        class_parallel: whether processes share the centres out; None: where they are sampled.
        in_channels: the backbone's, checked against `embedding_size`.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C); sampled: logits (N, n) and the labels' columns in them (N,); class-parallel:
        the same of all N * processes rows, -1 where another process holds the class; no label: {"embedding": (N, D), "norm": (N, 1)}

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are no integers, or not as many as rows.
    """

    takes = ("label",)
    training_only = True  # an embedding needs no centres: weight files may lack them
    published_names = ((r"^head\.weight$", "head.kernel"),)

    def __init__(
        self,
        embedding_size: int,
        class_num: int,
        s: float,
        limit: float = 1.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: list[int] | None = None,
    ):
        super().__init__()
        self.who = type(self).__name__
        check_sizes(self.who, embedding_size, class_num, in_channels)
        if not s > 0:
            raise ValueError(f"{self.who}: expected s > 0, received s={s}")
        if not 0 < sample_ratio <= 1:
            raise ValueError(f"{self.who}: expected sample_ratio above 0 and at most 1, received sample_ratio={sample_ratio}")
        self.class_num, self.s, self.limit, self.sample_ratio = class_num, s, limit, sample_ratio
        self._warned = False
        world, rank = process_group.size(), process_group.rank()
        self.split = world > 1 and (sample_ratio < 1 if class_parallel is None else class_parallel)
        if self.split and class_num < world:
            raise ValueError(f"{self.who}: expected a class_num of at least the {world} processes that share it, received {class_num}")
        if sample_ratio < 1 and world > 1 and not self.split:
            raise ValueError(f"{self.who}: expected class_parallel with sample_ratio={sample_ratio} on {world} processes")
        self.first, self.stop = (class_num * rank // world, class_num * (rank + 1) // world) if self.split else (0, class_num)
        self.kernel = self.create_parameter(
            [embedding_size, self.stop - self.first], default_initializer=nn.initializer.Normal(0.0, 1 / math.sqrt(embedding_size))
        )
        self.kernel.column_updates = sample_ratio < 1
        if self.split:
            self.kernel.no_sync, self.kernel.need_clip = True, False  # its gradient is complete here, and its norm is not known elsewhere
            self.kernel.shard = (self.first, self.stop, class_num)
            rng = np.random.default_rng([int(paddle.randint(0, 2**31 - 1, [1]).numpy()[0]), rank])  # processes start from one seed
            self.kernel.set_value(rng.standard_normal(self.kernel.shape, "float32") / math.sqrt(embedding_size))

    def forward(self, embedding: paddle.Tensor, label: paddle.Tensor | None = None):
        outputs = self.outputs(embedding, label)
        if label is None:
            return outputs
        return (outputs["logits"], outputs["label"]) if "label" in outputs else outputs["logits"]

    def outputs(self, embedding: paddle.Tensor, label: paddle.Tensor | None) -> dict:
        """What `forward` returns by name; class-parallel "columns" says how many all processes have together."""
        with paddle.amp.auto_cast(enable=False):
            embedding = embedding.astype("float32")
            if label is None:
                return {"embedding": embedding, "norm": paddle.sqrt((embedding * embedding).sum(axis=1, keepdim=True))}
            return {"embedding": embedding, **self._classified(embedding, label)}

    def _classified(self, embedding: paddle.Tensor, label: paddle.Tensor) -> dict:
        rows, label = embedding, label.flatten()
        if self.split:
            rows, label = process_group.gather_rows(embedding), process_group.gathered(label)
        places = self._places(labels_of(self.who, label, rows.shape[0], self.class_num))
        columns, places = self._sampled(places)
        cosine = _cosines(rows, self._centres(columns)).clip(-self.limit, self.limit)
        norm = paddle.sqrt((rows.detach() ** 2).sum(axis=1))
        if self.training:
            self.observe(norm)
        scale = self.scale()
        logits = cosine * scale
        mine = np.flatnonzero(places >= 0)
        if len(mine):
            where = paddle.to_tensor(mine), paddle.to_tensor(places[mine])
            target = paddle.gather_nd(cosine, paddle.stack(where, axis=1))
            logits = paddle.index_put(logits, where, self.margin(target, norm[where[0]]) * scale)
        outputs: dict = {"logits": logits}
        if self.split or self.sample_ratio < 1:
            outputs["label"] = paddle.to_tensor(places)
        if self.split:
            outputs["columns"] = int(process_group.gathered(paddle.to_tensor([logits.shape[1]])).sum())
        return outputs

    def scale(self) -> float | paddle.Tensor:
        """The factor s."""
        return self.s

    def observe(self, norm: paddle.Tensor) -> None:
        """Sees the lengths (N,) of the batch's embeddings before their margins, in training alone."""

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        """The target's cosine (n,), changed; `norm` (n,) is the length of its embedding, without gradient."""
        return cosine

    def _places(self, classes: np.ndarray) -> np.ndarray:
        """Column of each class here, -1 where another process holds it."""
        return np.where((classes >= self.first) & (classes < self.stop), classes - self.first, -1)

    def _sampled(self, places: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The columns of this step (None: all) and the labels' places among them."""
        if self.sample_ratio == 1 or not self.training:
            return None, places
        seed = int(paddle.randint(0, 2**31 - 1, [1]).numpy()[0])  # follows paddle.seed, as all randomness of a step does
        mine = places >= 0
        columns = sample_classes(places[mine], self.kernel.shape[1], self.sample_ratio, np.random.default_rng(seed))
        return columns, np.where(mine, np.searchsorted(columns, places), -1)

    def _centres(self, columns: np.ndarray | None) -> paddle.Tensor:
        if columns is None:
            return self.kernel
        index = paddle.to_tensor(columns)
        optimizer = getattr(self.kernel, "updated_by", lambda: None)()
        if optimizer is not None and paddle.is_grad_enabled():
            return optimizer.part(self.kernel, index)
        if optimizer is None and paddle.is_grad_enabled() and not self._warned:
            self._warned = True
            log.warning(
                f"{self.who}: sample_ratio={self.sample_ratio}, but no optimizer of ppface.optim updates the class centres: momentum and "
                "weight decay of another one also move those that a step did not sample, and every step takes the time of all; "
                "make a ppface.optim.SGD, Momentum, RMSProp, Adam or AdamW before the first step"
            )
        return paddle.index_select(self.kernel, index, axis=1)


def check_sizes(who: str, embedding_size: int, class_num: int, in_channels: list[int] | None) -> None:
    """Raises ValueError for sizes that are no sizes, or an embedding that is not the backbone's."""
    if embedding_size < 1 or class_num < 1:
        raise ValueError(f"{who}: expected embedding_size and class_num of at least 1, received {embedding_size} and {class_num}")
    if in_channels is not None and in_channels != [embedding_size]:
        raise ValueError(f"{who}: expected embedding_size={in_channels[0]}, that of the backbone, received {embedding_size}")


def _cosines(rows: paddle.Tensor, centres: paddle.Tensor) -> paddle.Tensor:
    """(N, D), (D, n) -> (N, n). A vector without length has cosine 0 and no gradient.

    The centres are not normalised one by one: dividing the products by their lengths touches the wide matrix half as often.
    """
    unit = rows * _inverse_root((rows * rows).sum(axis=1, keepdim=True))
    squares = paddle.matmul(paddle.ones([1, centres.shape[0]]), centres * centres)
    return paddle.matmul(unit, centres) * _inverse_root(squares).expand([rows.shape[0], -1])


def _inverse_root(square: paddle.Tensor) -> paddle.Tensor:
    """1 / sqrt(square), 0 where there is no length."""
    return paddle.where(square > TINY, paddle.rsqrt(square.clip(min=TINY)), paddle.zeros_like(square))


def sine(cosine: paddle.Tensor) -> paddle.Tensor:
    """sqrt(1 - cos^2) of angles in 0..pi, exactly 0 and without gradient at both ends."""
    square = 1 - cosine * cosine
    return paddle.where(square > 0, paddle.sqrt(square.clip(min=1e-8)), paddle.zeros_like(square))
