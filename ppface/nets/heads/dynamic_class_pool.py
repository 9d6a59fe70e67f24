"""DynamicClassPool: a small pool of class centres that a slowly moving copy of the network makes, for any number of identities."""

import copy
from typing import Annotated, Literal

import numpy as np
import paddle
from paddle import nn

from ppface.core.config.spec import Spec
from ppface.core.errors import DataError, UserError
from ppface.core.registry import Supplied, register
from ppface.nets.layers.margin import ClassNum, InChannels, check_sizes, sine, unit_rows
from ppface.ops import process_group
from ppface.ops.labels import labels_of
from ppface.ops.lru_slots import IDENTITY, empty_slots, enter, find, last_writes


def _check_fits(batch_size: int, slots: int, processes: int) -> None:
    if batch_size % (2 * processes):
        expected = f"DynamicClassPool: expected train.batch_size to be a multiple of {2 * processes}"
        raise UserError(f"{expected}, two halves in each process, received {batch_size}")
    if batch_size // 2 > slots:
        expected = f"DynamicClassPool: expected model.head.slots of at least {batch_size // 2}, half of train.batch_size={batch_size}"
        raise UserError(f"{expected}, received {slots}: use more slots or a smaller batch")


@register("head")
class DynamicClassPool(nn.Layer):
    """Dynamic class pool of Faster Face Classification (F2C), Wang et al. 2022, https://arxiv.org/abs/2105.10375, section 3, with the rules
    of its code, https://github.com/tiandunx/FFC, for use with `ClassPoolLoss` and batches of `IdentityInstanceBatches`.

    A batch is two halves x and y. The gallery, a copy of the backbone, follows it: g <- decay g + (1 - decay) p over the parameters, at the
    start of each step. Both networks get the whole batch in training mode, so batch norm takes its statistics over both halves, and the
    gallery's own running statistics are not used. Pass 1 compares embeddings of x with gallery embeddings of y, pass 2 the reverse:

        each gallery embedding enters the pool: a new identity takes the least recently used of K slots and writes plane 0, one with a slot
        writes plane 0 and plane 1 in turn; pass 1 does so on a copy, only what pass 2 writes is kept
        c = cosines with plane 0, and once more with plane 1 in the slots of identities that already had one, plane 0 in the others
        identity in the pool: logits s c with a margin on the target;   otherwise an outlier: the r largest c, r = 2e-4 K within 3..10
        AM: target cos theta - m;   Arc: cos(theta + m), also beyond pi
        SV: others above the target - m: t cos theta + t - 1;   target cos theta - m where cos theta > m, else cos theta

    Time and memory of a step follow K, not the number of identities. Pool, order of use and gallery are in checkpoints; an empty pool, as
    after loading weights of a backbone, makes the gallery a copy of the backbone again. With several processes the pool is the same in
    all of them, and rows are averaged over the whole batch. If an identity is in a half twice, the last picture's embedding is kept.

    Args:
        embedding_size: D.
        backbone: what the gallery is a copy of.
        class_num: number of identities, to check labels; None: no pool and no gallery, only embeddings.
        slots: K, at least half of the batch; the paper uses 1 % to 10 % of the identities.
        margin: "AM", "Arc" or "SV".
        m: margin, >= 0; the authors use 0.4 for AM and 0.5 for Arc.
        s: scale of the cosines, > 0.
        t: factor of hard negatives in SV, >= 1.
        decay: of the gallery's weights, 0..1.
        input: of the model; what it makes of pixels enters the gallery.

    Shape:
        embedding (N, D), label (N,) int64, image (N, 3, H, W), the first N / 2 rows x, the others y
        -> {"embedding": (N, D), "pool_logits": (R, K), "pool_label": (R,), "pool_weight": (R,), "outlier_cosine": (O, r),
        "outlier_weight": (O,)}, the rows of both passes and planes; weights make sums over all rows of one pass and plane a mean;
        buffers planes (2, K, D) and slots (3, K) int64, see ppface/ops/lru_slots.py; no label: {"embedding": (N, D), "norm": (N, 1)}

    Raises:
        ValueError: an argument out of its range.
        UserError: a batch that cannot be halved, or whose half is larger than the pool.
        DataError: labels without images, a label outside 0..class_num-1, or labels that are not integers or not N.
    """

    takes = ("label", "image")
    training_only = True  # embeddings need nothing of it

    def __init__(
        self,
        embedding_size: int,
        backbone: Annotated[nn.Layer, Supplied("by the model")],
        class_num: ClassNum = None,
        slots: int = 10000,
        margin: Literal["AM", "Arc", "SV"] = "AM",
        m: float = 0.4,
        s: float = 32.0,
        t: float = 1.2,
        decay: float = 0.99,
        in_channels: InChannels = None,
        input: Annotated[nn.Layer | None, Supplied("by the model")] = None,
    ):
        super().__init__()
        check_sizes("DynamicClassPool", embedding_size, class_num, in_channels)
        if slots < 1 or m < 0 or s <= 0 or t < 1 or not 0 <= decay <= 1:
            expected = "slots of at least 1, m >= 0, s > 0, t >= 1 and decay in 0..1"
            raise ValueError(f"DynamicClassPool: expected {expected}, received {slots=}, {m=}, {s=}, {t=}, {decay=}")
        if margin not in ("AM", "Arc", "SV"):
            raise ValueError(f"DynamicClassPool: expected margin to be AM, Arc or SV, received {margin!r}")
        self.embedding_size, self.class_num, self.decay = embedding_size, class_num, decay
        self.kind, self.m, self.s, self.t = margin, m, s, t
        self.hardest = min(max(int(slots * 2e-4), 3), 10, slots)
        self.backbone, self.input = (backbone,), (input,)  # in tuples, so that they are not registered twice
        if class_num is None:
            return
        self.gallery = copy.deepcopy(backbone)
        for parameter in self.gallery.parameters():
            parameter.stop_gradient = True
        self.register_buffer("planes", unit_rows(paddle.rand([2 * slots, embedding_size])).reshape([2, slots, embedding_size]))
        self.register_buffer("slots", paddle.to_tensor(empty_slots(slots)))

    def check_batch(self, batch_size: int) -> None:
        """Raises UserError for a batch, summed over all processes, that cannot be halved in each of them or is larger than the pool."""
        _check_fits(batch_size, self.slots.shape[1], process_group.size())

    @staticmethod
    def check_config(own: Spec, config: Spec) -> None:
        """As `check_batch`, from the config; processes that it does not count are one."""
        if config["train"] and "batch_size" in config["train"].arguments:
            processes = config["processes"]
            _check_fits(config["train"]["batch_size"], own["slots"], 1 if processes == "auto" else max(1, processes))

    def forward(self, embedding: paddle.Tensor, label: paddle.Tensor | None = None, image: paddle.Tensor | None = None) -> dict:
        embedding = embedding.astype("float32")
        if label is None:
            return {"embedding": embedding, "norm": paddle.sqrt((embedding * embedding).sum(axis=1, keepdim=True))}
        if image is None:
            raise DataError("DynamicClassPool: expected the images of the labels for its gallery, received none")
        ids = labels_of("DynamicClassPool", label, embedding.shape[0], self.class_num)
        processes = process_group.size()
        self.check_batch(len(ids) * processes)
        if processes > 1:
            ids = process_group.whole_batch(paddle.to_tensor(ids)).numpy()
        gallery = process_group.whole_batch(self._gallery(image))
        with paddle.amp.auto_cast(enable=False):
            probe, gallery = unit_rows(embedding), unit_rows(gallery.astype("float32"))
            own, half = probe.shape[0] // 2, len(ids) // 2
            first, _ = self._pass(probe[:own], ids[:half], gallery[half:], ids[half:])
            second, kept = self._pass(probe[own:], ids[half:], gallery[:half], ids[:half])
            if self.training:
                self.planes.set_value(kept[0])
                self.slots.set_value(kept[1])
            scores = {name: paddle.concat([*first[name], *second[name]]) for name in first}
        return {"embedding": embedding, **scores}

    @paddle.no_grad()
    def _gallery(self, image: paddle.Tensor) -> paddle.Tensor:
        """(N, 3, H, W) pixels -> (N, D), by the gallery network, which is moved first."""
        backbone, input = self.backbone[0], self.input[0]
        if int(self.slots[IDENTITY].max()) < 0:
            for ours, theirs in zip(self.gallery.state_dict().values(), backbone.state_dict().values(), strict=True):
                ours.set_value(theirs)
        if self.training:
            for ours, theirs in zip(self.gallery.parameters(), backbone.parameters(), strict=True):
                if not theirs.stop_gradient:  # Paddle's parameters include the running statistics of batch norm
                    ours.set_value(ours * self.decay + theirs * (1 - self.decay))
        return self.gallery(image if input is None else input(image))

    def _pass(self, probe: paddle.Tensor, probe_ids: np.ndarray, gallery: paddle.Tensor, gallery_ids: np.ndarray) -> tuple[dict, tuple]:
        """One comparison: probe (n, D) of this process, gallery (H, D) of all, and the identities (H,) of both of all.

        Returns:
            lists of what `forward` returns of every plane, and the pool after the pass: planes and slots
        """
        table, slot, plane, present = enter(self.slots.numpy(), gallery_ids)
        planes = self._written(slot, plane, gallery)
        refreshed = np.zeros(planes.shape[1], bool)
        refreshed[slot[present]] = True
        other = paddle.where(paddle.to_tensor(refreshed).unsqueeze(1), planes[1], planes[0])
        everywhere, processes = find(table, probe_ids), process_group.size()
        target = everywhere[process_group.rank() :: processes]
        inside, outside = np.flatnonzero(target >= 0), np.flatnonzero(target < 0)
        held = int((everywhere >= 0).sum())
        weights = processes / max(1, held), processes / max(1, len(everywhere) - held)
        scores: dict[str, list[paddle.Tensor]] = {}
        for centres in (planes[0], other):
            cosine = paddle.matmul(probe, centres, transpose_y=True)
            parts = {
                "pool_logits": self._with_margin(cosine, inside, target[inside]),
                "pool_label": paddle.to_tensor(target[inside]),
                "pool_weight": paddle.full([len(inside)], weights[0]),
                "outlier_cosine": paddle.topk(cosine, self.hardest, axis=1)[0][paddle.to_tensor(outside)],
                "outlier_weight": paddle.full([len(outside)], weights[1]),
            }
            scores = {name: [*scores.get(name, []), part] for name, part in parts.items()}
        return scores, (planes, paddle.to_tensor(table))

    @paddle.no_grad()
    def _written(self, slot: np.ndarray, plane: np.ndarray, gallery: paddle.Tensor) -> paddle.Tensor:
        """The planes with the gallery's embeddings: a copy, as the gradient of a pass needs its own."""
        rows = last_writes(slot, plane)
        flat = self.planes.flatten(0, 1)
        places = plane[rows] * self.planes.shape[1] + slot[rows]
        return paddle.scatter(flat, paddle.to_tensor(places), gallery[paddle.to_tensor(rows)]).reshape(self.planes.shape)

    def _with_margin(self, cosine: paddle.Tensor, rows: np.ndarray, target: np.ndarray) -> paddle.Tensor:
        """(n, K) -> (k, K), the logits of some rows, with the margin on their targets (k,)."""
        cosine = cosine[paddle.to_tensor(rows)].clip(-1.0, 1.0)
        if not len(rows):
            return cosine
        where = paddle.arange(len(rows)), paddle.to_tensor(target)
        own = paddle.gather_nd(cosine, paddle.stack(where, axis=1))
        if self.kind == "AM":
            changed = own - self.m
        elif self.kind == "Arc":
            changed = own * float(np.cos(self.m)) - sine(own) * float(np.sin(self.m))
        else:
            changed = paddle.where(own > self.m, own - self.m, own)
            hard = cosine > (own - self.m).unsqueeze(1)
            cosine = paddle.where(hard, self.t * cosine + self.t - 1, cosine)
        return paddle.index_put(cosine, where, changed) * self.s
