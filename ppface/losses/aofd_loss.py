"""AOFD: a detector learns faces whose features an adversary hides, and where an object covers them."""

import contextlib
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.vision.ops import roi_align

from ppface.core.errors import DataError
from ppface.core.registry import Kind, Supplied, register
from ppface.losses.ssd_loss import SSDLoss, cross_entropy, mean_over, without
from ppface.ops import face_masks
from ppface.ops.gradient_reversal import ramp, reverse_gradient
from ppface.ops.matching import IGNORED

Mask = Literal["generated", "random", "half", "landmarks", "none"]


@register("loss")
class AOFDLoss(nn.Layer):
    """SSD loss with adversarial masks, after AOFD, Chen et al. 2017, https://arxiv.org/abs/1709.05188, on a one-stage detector.

    The paper masks the pooled regions of a two-stage detector. Here the feature pyramid is masked before its context modules, and passes
    through these and the score convolutions a second time. Every matched face is a window of cells on the level of its anchors:

        L = SSD(P) + weight * conf(P * reversed(M)) + compactness * mean over faces of sum over neighbours |m_i - m_j|
            + occlusion_weight * cross entropy of each cell's "covered by an object"

    conf has the positives and negatives of the first pass. In turn, one kind a step, M hides of each face: "generated", `dropped` of the
    `candidates` cells to which the generator gives the lowest scores m (the gradient of M goes to m, straight-through); "random",
    `dropped` of all cells; "half", its left, right, upper or lower half; "landmarks", its eyes, nose or mouth; "none": no second pass.
    The gradient of M is reversed, and grows over `reversal_steps`: the generator learns masks that raise the loss. The last term needs
    `gt_occlusion` (SyntheticFaces with `occlusion`); it is left out for batches without.

    Generator and occlusion branch are trained and saved with this loss, and are part of no weights, prediction or export. The second
    pass does not change the running statistics of batch norm. The paper's text was not at hand beyond its abstract: the defaults of
    `cells`, `candidates`, `dropped` and `compactness` are not checked against it.

    Args:
        model: the detector; its neck is a feature pyramid, FPN or BlazeNeck with "only_fpn" or "fpn_ssh".
        ssd: the loss of the detector without masks.
        masks: the kinds of masks, in their order.
        cells: rows and columns of a window.
        candidates: cells with the lowest scores, of which some are hidden.
        dropped: cells that are hidden, above 0, at most `candidates`.
        faces: windows a picture at most; more are drawn at random.
        weight: of the scores with masks, >= 0.
        compactness: weight of differences between neighbouring scores of the generator, >= 0.
        occlusion_weight: weight of the occlusion branch, >= 0; 0 leaves it out.
        reversal_steps: steps in which the reversed gradient grows to its full size, >= 1.

    Shape:
        outputs and batch as SSDLoss, with "levels" and "features" of the model's neck; gt_occlusion (N, H, W) if known
        -> those of SSDLoss and in training {"masked": scalar, "compact": scalar, "occlusion": scalar}

    Raises:
        ValueError: an argument out of its range, or a model without a pyramid of equally many channels.
        DataError: masks by landmarks, and data without five or six landmarks.
    """

    def __init__(
        self,
        model: Annotated[nn.Layer, Supplied("by the model")],
        ssd: Annotated[SSDLoss, Kind("loss", "SSDLoss")] | None = None,
        masks: list[Mask] = ["generated", "random", "half", "none"],  # noqa: B006 (never changed)
        cells: int = 7,
        candidates: int = 20,
        dropped: int = 15,
        faces: int = 32,
        weight: float = 1.0,
        compactness: float = 1e-5,
        occlusion_weight: float = 1.0,
        reversal_steps: int = 1000,
    ):
        super().__init__()
        if not masks or not 0 < dropped <= candidates <= cells * cells:
            raise ValueError(
                "AOFDLoss: expected masks, and 0 < dropped <= candidates <= cells * cells, received "
                f"{masks=}, {dropped=}, {candidates=}, {cells=}"
            )
        if faces < 1 or reversal_steps < 1 or min(weight, compactness, occlusion_weight) < 0:
            raise ValueError(
                "AOFDLoss: expected faces and reversal_steps of at least 1 and weights of at least 0, received "
                f"{faces=}, {reversal_steps=}, {weight=}, {compactness=}, {occlusion_weight=}"
            )
        channels = _channels(model)
        model.keeps_levels = True
        self._model = (model,)  # in a tuple: its parameters are not this loss's
        self.ssd = ssd or SSDLoss()
        self.masks, self.cells, self.candidates, self.dropped, self.faces = list(masks), cells, candidates, dropped, faces
        self.weight, self.compactness, self.occlusion_weight = weight, compactness, occlusion_weight
        self.reversal_steps = reversal_steps
        self.generator = MaskGenerator(channels)
        self.occlusion = nn.Conv2D(channels, 2, 1) if occlusion_weight else None
        self.register_buffer("step", paddle.zeros([], "int64"))

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        matched = self.ssd.matched(outputs, batch)
        losses = self.ssd.terms(outputs, batch, matched)
        if not self.training:
            return losses
        step = int(self.step)
        kind = self.masks[step % len(self.masks)]
        rng = np.random.default_rng(int(paddle.randint(0, 2**31 - 1, [1]).numpy()[0]))  # derived from paddle.seed, as all of a step
        level, image, face = self._windows(outputs["levels"], matched, rng)
        zero = self._zero()
        losses |= {"masked": zero, "compact": zero, "occlusion": zero}
        if len(face):
            where = level, image, batch["gt_boxes"].numpy()[image, face]
            if kind != "none":
                masks, losses["compact"] = self._masks(kind, outputs, batch, where, face, rng)
                maps = self._pasted(masks, outputs["levels"], where)
                factor = ramp(min(1.0, step / self.reversal_steps))
                losses["masked"] = self._masked([reverse_gradient(x, factor) for x in maps], outputs, matched)
            if self.occlusion is not None and "gt_occlusion" in batch:
                losses["occlusion"] = self._occluded(outputs["features"], batch["gt_occlusion"].numpy(), where)
        with paddle.no_grad():
            self.step.set_value(self.step + 1)
        return losses

    def _windows(self, levels: list, matched: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(level, picture, row in gt_boxes) of each matched face on each level, by level and picture; at most `faces` a picture."""
        sides = self._model[0].head.min_sizes
        ends = np.cumsum([x.shape[2] * x.shape[3] * len(mine) for x, mine in zip(levels, sides, strict=True)])
        image, anchor = np.nonzero(matched >= 0)
        level = np.searchsorted(ends, anchor, side="right")
        rows = np.unique(np.stack([level, image, matched[image, anchor]], axis=1), axis=0)
        order = rng.permutation(len(rows))
        picture = rows[order, 1]
        earlier = np.array([(picture[:i] == one).sum() for i, one in enumerate(picture)])
        level, image, face = rows[np.sort(order[earlier < self.faces])].T if len(rows) else rows.reshape(0, 3).T
        return level, image, face

    def _masks(self, kind: Mask, outputs: dict, batch: dict, where: tuple, face: np.ndarray, rng: np.random.Generator) -> tuple:
        """(R, n, n) masks, 0 where a face is hidden, and the compactness of the generator's scores."""
        count, cells = len(face), self.cells
        if kind == "generated":
            with paddle.amp.auto_cast(enable=False):
                score = self.generator(self._features_of(outputs["levels"], where))
            hard = paddle.to_tensor(face_masks.hide_lowest(score.detach().numpy(), self.candidates, self.dropped, rng))
            across, down = (score[:, :, 1:] - score[:, :, :-1]).abs(), (score[:, 1:] - score[:, :-1]).abs()
            return hard + (score - score.detach()), self.compactness * (across.sum() + down.sum()) / count
        if kind == "random":
            hidden = face_masks.hide_lowest(np.zeros((count, cells, cells)), cells * cells, self.dropped, rng)
        elif kind == "half":
            hidden = face_masks.hide_halves(count, cells, rng)
        else:
            points, labelled = _landmarks(batch)
            hidden = face_masks.hide_landmarks(where[2], points[where[1], face], labelled[where[1], face], cells, rng)
        return paddle.to_tensor(hidden), self._zero()

    def _features_of(self, levels: list, where: tuple) -> paddle.Tensor:
        """(R, C, n, n): the features of every window at the centres of its cells, by bilinear interpolation, without gradient."""
        level, image, boxes = where
        found = []
        for i in np.unique(level):
            mine, x = level == i, levels[i].detach().astype("float32")
            counts = paddle.to_tensor(np.bincount(image[mine], minlength=x.shape[0]).astype("int32"))
            scale = 1 / self._model[0].head.steps[i]
            found.append(roi_align(x, paddle.to_tensor(boxes[mine]), counts, self.cells, scale, sampling_ratio=1, aligned=True))
        return paddle.concat(found)

    def _pasted(self, masks: paddle.Tensor, levels: list, where: tuple) -> list[paddle.Tensor]:
        """For each level (N, 1, H, W): the masks at the places of their faces, 1 elsewhere."""
        entries = paddle.concat([masks.flatten(), paddle.ones([1])])
        return [paddle.gather(entries, paddle.to_tensor(at.ravel())).reshape([at.shape[0], 1, *at.shape[1:]])
                for at in self._places(masks.detach().numpy(), levels, where)]  # fmt: skip

    def _places(self, masks: np.ndarray, levels: list, where: tuple) -> Iterator[np.ndarray]:
        """For each level (N, H, W): the entry of the masks at each cell, outside all faces the number of entries."""
        level, image, boxes = where
        for i, x in enumerate(levels):
            size = x.shape[0], x.shape[2], x.shape[3]
            others = np.where((level == i)[:, None], boxes, 0).astype("float32")  # a box without area covers no cell
            yield face_masks.paste(masks, image, others, self._model[0].head.steps[i], size)

    def _masked(self, maps: list[paddle.Tensor], outputs: dict, matched: np.ndarray) -> paddle.Tensor:
        """The score term of the masked levels."""
        model, positive, ignored = self._model[0], matched >= 0, matched == IGNORED
        before = cross_entropy(without(outputs["logits"].detach(), ignored), positive)
        chosen = positive | self.ssd.hardest(before.numpy(), positive)
        with _kept_statistics(model.neck):
            features = model.neck.in_context([x * mask.astype(x.dtype) for x, mask in zip(outputs["levels"], maps, strict=True)])
        loss = cross_entropy(without(model.head.logits(features), ignored), positive)
        return self.weight * self.ssd.conf_weight * mean_over(loss, chosen, positive)

    def _occluded(self, features: list, occlusion: np.ndarray, where: tuple) -> paddle.Tensor:
        """The mean cross entropy of the occlusion branch over the cells of faces whose occlusion is known."""
        logits, labels, branch = [], [], self.occlusion
        assert branch is not None
        masks = np.ones((len(where[0]), 1, 1), "float32")
        for i, (x, at) in enumerate(zip(features, self._places(masks, features, where), strict=True)):
            label = face_masks.cell_labels(occlusion, self._model[0].head.steps[i], at.shape[1:])
            labels.append(np.where(at < masks.size, label, face_masks.UNKNOWN).ravel())
            logits.append(branch(x).transpose([0, 2, 3, 1]).reshape([-1, 2]))
        known = np.concatenate(labels)
        loss = F.cross_entropy(
            paddle.concat(logits).astype("float32"), paddle.to_tensor(known), ignore_index=face_masks.UNKNOWN, reduction="sum"
        )
        return self.occlusion_weight * loss / max(1, (known != face_masks.UNKNOWN).sum())

    def _zero(self) -> paddle.Tensor:
        """0, with a zero gradient for every own parameter, so that all of them are updated in every step: by the optimizer's momentum in
        steps that do not use them, also right after a run is resumed, and with several processes, which wait for each gradient."""
        return sum(((parameter * 0).sum() for parameter in self.parameters() if not parameter.stop_gradient), start=paddle.zeros([]))


class MaskGenerator(nn.Layer):
    """Keep scores of the cells of faces: a 3x3 convolution to a quarter of the channels, batch norm, ReLU, a 1x1 convolution, sigmoid.

    Shape:
        (R, C, n, n) -> (R, n, n) in 0..1
    """

    def __init__(self, channels: int):
        super().__init__()
        middle = max(1, channels // 4)
        self.conv, self.norm = nn.Conv2D(channels, middle, 3, padding=1, bias_attr=False), nn.BatchNorm2D(middle)
        self.score = nn.Conv2D(middle, 1, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.sigmoid(self.score(F.relu(self.norm(self.conv(x))))).squeeze(1)


def _channels(model: nn.Layer) -> int:
    """Of the levels of the model's pyramid."""
    neck, head = model.neck, model.head
    parts = hasattr(neck, "levels") and hasattr(neck, "in_context") and hasattr(head, "logits")
    if not parts or len(set(neck.out_channels)) != 1:
        received = f"{type(neck).__name__ if neck is not None else 'none'} with out_channels={getattr(neck, 'out_channels', None)}"
        raise ValueError(
            "AOFDLoss: expected a detector with FaceHead and a neck whose levels have equally many channels (FPN, or BlazeNeck with "
            f"neck_type only_fpn or fpn_ssh), received {type(head).__name__} and the neck {received}"
        )
    return neck.out_channels[0]


def _landmarks(batch: dict) -> tuple[np.ndarray, np.ndarray]:
    """(N, G, K, 2) and whether they are labelled (N, G)."""
    count = batch["gt_landmarks"].shape[2] if "gt_landmarks" in batch else "none"
    if count not in face_masks.FEATURES:
        raise DataError(f"AOFDLoss: expected five or six landmarks in gt_landmarks for masks by landmarks, received {count}")
    points = batch["gt_landmarks"].numpy()
    return points, batch["gt_has_landmarks"].numpy() if "gt_has_landmarks" in batch else np.ones(points.shape[:2], bool)


@contextlib.contextmanager
def _kept_statistics(layer: nn.Layer) -> Iterator[None]:
    """Within the block batch norm normalises by the batch as always, but its running mean and variance stay."""
    norms = [(part, part._momentum) for part in layer.sublayers() if hasattr(part, "_momentum")]
    try:
        for part, _ in norms:
            part._momentum = 1.0
        yield
    finally:
        for part, momentum in norms:
            part._momentum = momentum
