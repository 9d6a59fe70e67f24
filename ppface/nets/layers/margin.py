"""Base of all heads with class centres: cosines, margin on the target, sampled centres, and centres split over processes."""

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

ClassNum = Annotated[int | None, Supplied("by the data", writable=True)]
InChannels = Annotated[list[int] | None, Supplied("by the backbone")]
TINY = 1e-24  # a squared norm up to this counts as zero


class CosineHead(nn.Layer):
    """logits = s * cos(embedding, centre), with the target's cosine changed by `margin`; in float32, also under autocast.

    Heads override `margin`, and, where more than the target's cosine differs, `similarity`, `others`, `length` or `scale`.

    `sample_ratio` is Partial FC, An et al. 2022, https://arxiv.org/abs/2203.15565, section 3.2: a step uses all classes of its batch plus
    others drawn uniformly, up to the ratio. With an optimizer of ppface.optim only those columns get a gradient, momentum and weight
    decay, and the time of a step is proportional to their number. Other optimizers get a gradient of the whole kernel, zero elsewhere:
    their momentum and weight decay also change the columns not sampled, which is not Partial FC; a warning is logged.

    With `class_parallel` each process holds its share of the columns and receives the embeddings of all processes.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        s: scale of the cosines, > 0.
        limit: cosines are clipped to -limit..limit.
        sample_ratio: share of the classes used in one step, above 0, at most 1.
        class_parallel: whether the class centres are split over processes; None: if they are sampled.
        in_channels: output channels of the backbone, checked against `embedding_size`.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C); sampled: logits (N, n) and the column of each label in them (N,);
        class-parallel: the same for all N * processes rows, -1 if another process holds the class; no label: {"embedding": (N, D),
        "norm": (N, 1)}

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are not integers, or a number of labels other than N.
    """

    takes = ("label",)
    training_only = True  # not needed for embeddings: weight files may lack the centres
    published_names = ((r"^head\.weight$", "head.kernel"),)

    def __init__(
        self,
        embedding_size: int,
        class_num: int | None,
        s: float,
        limit: float = 1.0,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: list[int] | None = None,
    ):
        super().__init__()
        self.class_name = class_name = type(self).__name__
        check_sizes(class_name, embedding_size, class_num, in_channels)
        if not s > 0:
            raise ValueError(f"{class_name}: expected s > 0, received s={s}")
        if not 0 < sample_ratio <= 1:
            raise ValueError(f"{class_name}: expected sample_ratio above 0 and at most 1, received sample_ratio={sample_ratio}")
        self.embedding_size = embedding_size
        self.class_num, self.s, self.limit, self.sample_ratio = class_num, s, limit, sample_ratio
        self._warned, self.split, world = False, False, process_group.size()
        if class_num is None:
            return
        self.split = world > 1 and (sample_ratio < 1 if class_parallel is None else class_parallel)
        if self.split and class_num < world:
            raise ValueError(f"{class_name}: expected class_num of at least {world}, the number of processes, received {class_num}")
        if sample_ratio < 1 and world > 1 and not self.split:
            raise ValueError(f"{class_name}: expected class_parallel with sample_ratio={sample_ratio} on {world} processes, received False")
        self._create_centres(embedding_size, class_num)

    def _create_centres(self, embedding_size: int, class_num: int) -> None:
        world, rank = process_group.size(), process_group.rank()
        self.first, self.stop = (class_num * rank // world, class_num * (rank + 1) // world) if self.split else (0, class_num)
        self.kernel = self.create_parameter(
            [embedding_size, self.stop - self.first], default_initializer=nn.initializer.Normal(0.0, 1 / math.sqrt(embedding_size))
        )
        self.kernel.column_updates = self.sample_ratio < 1
        if self.split:
            self.kernel.no_sync, self.kernel.need_clip = True, False  # the gradient needs no all-reduce, and its norm is only known here
            self.kernel.shard = (self.first, self.stop, class_num)
            rng = np.random.default_rng([int(paddle.randint(0, 2**31 - 1, [1]).numpy()[0]), rank])  # Paddle's seed is the same everywhere
            self.kernel.set_value(rng.standard_normal(self.kernel.shape, "float32") / math.sqrt(embedding_size))

    def forward(self, embedding: paddle.Tensor, label: paddle.Tensor | None = None):
        outputs = self.outputs(embedding, label)
        if label is None:
            return outputs
        return (outputs["logits"], outputs["label"]) if "label" in outputs else outputs["logits"]

    def outputs(self, embedding: paddle.Tensor, label: paddle.Tensor | None) -> dict:
        """The outputs of `forward`, by name; class-parallel also "columns", the number of columns over all processes."""
        with paddle.amp.auto_cast(enable=False):
            embedding = embedding.astype("float32")
            if label is None:
                return {"embedding": embedding, "norm": paddle.sqrt((embedding * embedding).sum(axis=1, keepdim=True))}
            return {"embedding": embedding, **self._classified(embedding, label)}

    def _classified(self, embedding: paddle.Tensor, label: paddle.Tensor) -> dict:
        rows, label = embedding, label.flatten()
        if self.split:
            rows, label = process_group.gather_rows(embedding), process_group.gathered(label)
        local = self._local_columns(labels_of(self.class_name, label, rows.shape[0], self.class_num))
        columns, local = self._sampled(local)
        centres = self._centres(columns)
        outputs: dict = {"logits": self._logits(rows, centres, local)}
        if self.split or self.sample_ratio < 1:
            outputs["label"] = paddle.to_tensor(local)
        if self.split:
            outputs["columns"] = int(process_group.gathered(paddle.to_tensor([centres.shape[1]])).sum())
        return outputs

    def _logits(self, rows: paddle.Tensor, centres: paddle.Tensor, local: np.ndarray) -> paddle.Tensor:
        similarity, norm, scale = self.similarity(rows, centres), norms(rows), self.scale()
        if self.training:
            self.observe(norm.detach())
        mine = np.flatnonzero(local >= 0)
        where = paddle.to_tensor(mine), paddle.to_tensor(local[mine])
        target = paddle.gather_nd(similarity, paddle.stack(where, axis=1)) if len(mine) else None
        logits = self.others(similarity, target, where[0]) * scale
        if target is None:
            return logits
        changed = self.margin(target, self.length(norm[where[0]], centres, where[1]))
        return paddle.index_put(logits, where, changed * scale)

    def similarity(self, rows: paddle.Tensor, centres: paddle.Tensor) -> paddle.Tensor:
        """(N, D), (D, n) -> (N, n), the cosines, or what a head has in their place. `others` and `margin` get them."""
        return _cosines(rows, centres).clip(-self.limit, self.limit)

    def others(self, cosine: paddle.Tensor, target: paddle.Tensor | None, rows: paddle.Tensor) -> paddle.Tensor:
        """The cosines (N, n) of the other classes with what the head changes of them; those of the targets are replaced afterwards.

        `target` (k,) has the cosines of the targets of `rows` (k,): with class-parallel centres those of this process, None without any.
        """
        return cosine

    def length(self, norm: paddle.Tensor, centres: paddle.Tensor, columns: paddle.Tensor) -> paddle.Tensor:
        """What `margin` gets as `norm`: here the norms (k,) of the embeddings. `columns` (k,) are those of their targets."""
        return norm

    def scale(self) -> float | paddle.Tensor:
        """The scale s."""
        return self.s

    def observe(self, norm: paddle.Tensor) -> None:
        """Called in training with the norms (N,) of the batch's embeddings, before `margin`."""

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        """The target's cosine (k,) with the margin applied; `norm` (k,) is the norm of its embedding, with gradient."""
        return cosine

    def _local_columns(self, classes: np.ndarray) -> np.ndarray:
        """Column of each class in this process, -1 if another process holds it."""
        return np.where((classes >= self.first) & (classes < self.stop), classes - self.first, -1)

    def _sampled(self, local: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The columns used in this step (None: all) and the position of each label among them."""
        if self.sample_ratio == 1 or not self.training:
            return None, local
        seed = int(paddle.randint(0, 2**31 - 1, [1]).numpy()[0])  # derived from paddle.seed, like all randomness of a step
        mine = local >= 0
        columns = sample_classes(local[mine], self.kernel.shape[1], self.sample_ratio, np.random.default_rng(seed))
        return columns, np.where(mine, np.searchsorted(columns, local), -1)

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
                f"{self.class_name}: sample_ratio={self.sample_ratio}, but no optimizer of ppface.optim updates the class centres: "
                "momentum and weight decay of other optimizers also change centres that a step did not sample, and a step takes as long as "
                "without sampling; create a ppface.optim.SGD, Momentum, RMSProp, Adam or AdamW before the first step"
            )
        return paddle.index_select(self.kernel, index, axis=1)


def check_sizes(class_name: str, embedding_size: int, class_num: int | None, in_channels: list[int] | None) -> None:
    """Raises ValueError for sizes below 1, or an embedding_size other than the backbone's."""
    if embedding_size < 1 or (class_num is not None and class_num < 1):
        raise ValueError(f"{class_name}: expected embedding_size and class_num of at least 1, received {embedding_size} and {class_num}")
    if in_channels is not None and len(in_channels) != 1:
        raise ValueError(f"{class_name}: expected a backbone that outputs one embedding, received one with {len(in_channels)} feature maps")
    if in_channels is not None and in_channels != [embedding_size]:
        raise ValueError(f"{class_name}: expected embedding_size={in_channels[0]}, that of the backbone, received {embedding_size}")


def norms(rows: paddle.Tensor) -> paddle.Tensor:
    """(N, D) -> (N,). A zero vector has no gradient."""
    square = (rows * rows).sum(axis=1)
    return paddle.where(square > TINY, paddle.sqrt(square.clip(min=TINY)), paddle.zeros_like(square))


def _cosines(rows: paddle.Tensor, centres: paddle.Tensor) -> paddle.Tensor:
    """(N, D), (D, n) -> (N, n). A zero vector has cosine 0 and no gradient."""
    return projections(unit_rows(rows), centres)


def unit_rows(rows: paddle.Tensor) -> paddle.Tensor:
    """(N, D) -> (N, D), each row divided by its norm. A zero vector stays zero and has no gradient."""
    return rows * _inverse_root((rows * rows).sum(axis=1, keepdim=True))


def projections(rows: paddle.Tensor, centres: paddle.Tensor) -> paddle.Tensor:
    """(N, D), (D, n) -> (N, n), the dot products with the normalised centres.

    They are divided by the norms, instead of normalising the centres first: half as many passes over the wide matrix.
    """
    squares = paddle.matmul(paddle.ones([1, centres.shape[0]]), centres * centres)
    return paddle.matmul(rows, centres) * _inverse_root(squares).expand([rows.shape[0], -1])


def _inverse_root(square: paddle.Tensor) -> paddle.Tensor:
    """1 / sqrt(square), 0 for zero vectors."""
    return paddle.where(square > TINY, paddle.rsqrt(square.clip(min=TINY)), paddle.zeros_like(square))


def sine(cosine: paddle.Tensor) -> paddle.Tensor:
    """sqrt(1 - cos^2) of angles in 0..pi, exactly 0 and without gradient at both ends."""
    square = 1 - cosine * cosine
    return paddle.where(square > 0, paddle.sqrt(square.clip(min=1e-8)), paddle.zeros_like(square))
