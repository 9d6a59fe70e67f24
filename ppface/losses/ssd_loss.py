"""SSD loss: matches anchors to faces; box loss on matched anchors, score loss on matched anchors and hard negatives."""

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.ops.codec import encode_boxes, encode_landmarks
from ppface.ops.matching import IGNORED, match

FACE, BACKGROUND = 0, 1


@register("loss")
class SSDLoss(nn.Layer):
    """SSD loss, Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2, equations 1 to 3.

        loc  = loc_weight / P * sum over positives of smooth_l1(offsets - encoded face)
        conf = conf_weight / P * sum over positives and mined negatives of -log softmax(logits)[class]
        landmarks = landmark_weight / L * sum over positives with labelled landmarks of smooth_l1(offsets - encoded landmarks)

    An anchor is positive if its IoU with a face is at least `overlap_threshold`, or if it is the best anchor of a face with an IoU of at
    least `best_anchor_floor` (see ops/matching.py for ties). Of the other anchors of an image, but for those with an IoU of
    `background_threshold` or more, those with the highest conf loss are the negatives, `negative_ratio` times as many as its positives.
    P and L are numbers of anchors in the whole batch, at least 1. An image without positives gets as many negatives as one with one
    positive, so that pictures without faces contribute too.

    Args:
        overlap_threshold: IoU from which an anchor is positive, above 0, at most 1.
        negative_ratio: negatives per positive, >= 0; the number per image is rounded down.
        loc_weight: weight of the box term, >= 0.
        conf_weight: weight of the score term, >= 0.
        landmark_weight: weight of the landmark term, >= 0.
        best_anchor_floor: least IoU at which a face's best anchor is positive, 0..1; RetinaFace has 0.2 in
            https://github.com/biubug6/Pytorch_Retinaface (a face below it is not learned).
        background_threshold: anchors that are not positive and whose IoU with a face is at least this are neither negatives, above 0, at
            most `overlap_threshold`; None: there are none. RetinaFace has 0.3, https://arxiv.org/abs/1905.00641, section 4.2.

    Shape:
        outputs: boxes (N, A, 4), logits (N, A, 2) face and background, anchors (A, 4), size (2,), landmarks (N, A, K, 2) if learned;
        batch: gt_boxes (N, G, 4) pixels, gt_count (N,), and with landmarks gt_landmarks (N, G, K, 2), gt_has_landmarks (N, G), else all
        faces have them
        -> {"loc": scalar, "conf": scalar, "landmarks": scalar if learned}

    Raises:
        ValueError: an argument out of its range.
        DataError: outputs with landmarks and a batch without any, or with another number of landmarks.
    """

    def __init__(
        self,
        overlap_threshold: float = 0.35,
        negative_ratio: float = 3.0,
        loc_weight: float = 1.0,
        conf_weight: float = 1.0,
        landmark_weight: float = 1.0,
        best_anchor_floor: float = 0.0,
        background_threshold: float | None = None,
    ):
        super().__init__()
        if not 0 < overlap_threshold <= 1:
            raise ValueError(f"SSDLoss: expected overlap_threshold above 0 and at most 1, received {overlap_threshold}")
        if min(negative_ratio, loc_weight, conf_weight, landmark_weight) < 0:
            raise ValueError(
                "SSDLoss: expected negative_ratio and weights of at least 0, received "
                f"{negative_ratio=}, {loc_weight=}, {conf_weight=}, {landmark_weight=}"
            )
        if not 0 <= best_anchor_floor <= 1:
            raise ValueError(f"SSDLoss: expected best_anchor_floor in 0..1, received {best_anchor_floor}")
        if background_threshold is not None and not 0 < background_threshold <= overlap_threshold:
            raise ValueError(
                f"SSDLoss: expected background_threshold above 0 and at most overlap_threshold={overlap_threshold}, "
                f"received {background_threshold}"
            )
        self.overlap_threshold, self.negative_ratio = overlap_threshold, negative_ratio
        self.best_anchor_floor, self.background_threshold = best_anchor_floor, background_threshold
        self.loc_weight, self.conf_weight, self.landmark_weight = loc_weight, conf_weight, landmark_weight

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        return self.terms(outputs, batch, self.matched(outputs, batch))

    def matched(self, outputs: dict, batch: dict) -> np.ndarray:
        """(N, A): the row of every anchor's face, -1 for background, or IGNORED."""
        height, width = (int(side) for side in outputs["size"])
        return match(
            outputs["anchors"].numpy(),
            (height, width),
            batch["gt_boxes"].numpy(),
            batch["gt_count"].numpy(),
            self.overlap_threshold,
            self.best_anchor_floor,
            self.background_threshold,
        )

    def terms(self, outputs: dict, batch: dict, matched: np.ndarray) -> dict[str, paddle.Tensor]:
        """The losses with these matches."""
        height, width = (int(side) for side in outputs["size"])
        boxes = batch["gt_boxes"].numpy()
        image, anchor = np.nonzero(matched >= 0)
        face, anchors = matched[image, anchor], outputs["anchors"].numpy()[anchor]
        scale = np.array([width, height], dtype="float32")
        target = encode_boxes(boxes[image, face] / np.tile(scale, 2), anchors)
        losses = {
            "loc": self.loc_weight * _mean_smooth_l1(outputs["boxes"], (image, anchor), target),
            "conf": self.conf_weight * self.conf(without(outputs["logits"], matched == IGNORED), matched >= 0),
        }
        if "landmarks" in outputs:
            points, known = self._landmarks(outputs, batch)
            known = known[image, face]
            where = (image[known], anchor[known])
            target = encode_landmarks(points[image, face][known] / scale, anchors[known])
            losses["landmarks"] = self.landmark_weight * _mean_smooth_l1(outputs["landmarks"], where, target)
        return losses

    def conf(self, logits: paddle.Tensor, positive: np.ndarray) -> paddle.Tensor:
        """The score term before its weight; subclasses may override it.

        Shape:
            logits (N, A, 2), positive (N, A) bool -> scalar
        """
        loss = cross_entropy(logits, positive)
        return mean_over(loss, positive | self.hardest(loss.detach().numpy(), positive), positive)

    def hardest(self, loss: np.ndarray, positive: np.ndarray) -> np.ndarray:
        """(N, A) bool: the hard negatives of every image."""
        wanted = np.maximum(1, positive.sum(axis=1)) * self.negative_ratio
        wanted = np.minimum(wanted.astype("int64"), (~positive).sum(axis=1))
        order = np.argsort(np.where(positive, np.inf, -loss), axis=1, kind="stable")
        chosen = np.zeros(positive.shape, dtype=bool)
        np.put_along_axis(chosen, order, np.arange(positive.shape[1]) < wanted[:, None], axis=1)
        return chosen

    def _landmarks(self, outputs: dict, batch: dict) -> tuple[np.ndarray, np.ndarray]:
        """(N, G, K, 2) labelled points in pixels, and (N, G) whether they are labelled."""
        count = outputs["landmarks"].shape[2]
        if "gt_landmarks" not in batch or batch["gt_landmarks"].shape[2] != count:
            received = batch["gt_landmarks"].shape[2] if "gt_landmarks" in batch else 0
            raise DataError(
                f"{type(self).__name__}: expected {count} landmarks of each face in the training data, as many as the head predicts, "
                f"received {received}: use other data, or set model.head.landmarks={received}"
            )
        points = batch["gt_landmarks"].numpy()
        return points, batch["gt_has_landmarks"].numpy() if "gt_has_landmarks" in batch else np.ones(points.shape[:2], bool)


def cross_entropy(logits: paddle.Tensor, positive: np.ndarray) -> paddle.Tensor:
    """-log softmax(logits)[class] of every anchor.

    Shape:
        (N, A, 2), (N, A) bool -> (N, A)
    """
    label = paddle.to_tensor(np.where(positive, FACE, BACKGROUND))
    return F.cross_entropy(logits.astype("float32"), label, reduction="none").squeeze(-1)


def mean_over(loss: paddle.Tensor, chosen: np.ndarray, positive: np.ndarray) -> paddle.Tensor:
    """The sum over the chosen anchors, divided by the number of positives, at least 1."""
    return (loss * paddle.to_tensor(chosen.astype("float32"))).sum() / max(1, positive.sum())


def without(logits: paddle.Tensor, ignored: np.ndarray) -> paddle.Tensor:
    """The logits with those of ignored anchors replaced by certain background, which has neither loss nor gradient."""
    if not ignored.any():
        return logits
    certain = paddle.to_tensor([-50.0, 50.0]).astype(logits.dtype)
    return paddle.where(paddle.to_tensor(ignored[..., None]), certain, logits)


def _mean_smooth_l1(offsets: paddle.Tensor, where: tuple[np.ndarray, np.ndarray], target: np.ndarray) -> paddle.Tensor:
    """Sum over the anchors at `where` (image, anchor), divided by their number; zero with zero gradients if there are none.

    Shape:
        offsets (N, A, ...), target (P, ...) -> scalar
    """
    full, mask = np.zeros(offsets.shape, dtype="float32"), np.zeros(offsets.shape, dtype="float32")
    full[where], mask[where] = target, 1
    loss = F.smooth_l1_loss(offsets.astype("float32"), paddle.to_tensor(full), reduction="none")
    return (loss * paddle.to_tensor(mask)).sum() / max(1, len(target))
