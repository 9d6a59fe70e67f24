"""FacePost: raw outputs of a face head to boxes, scores and landmarks in pixels."""

from typing import Annotated

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import Kind, register
from ppface.ops.codec import decode_boxes, decode_landmarks
from ppface.ops.nms import rows_at


@register("post")
class FacePost(nn.Layer):
    """Detection as in SSD, Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2, with a choice of how boxes are merged.

    Softmax, score threshold, the best `pre_top` per image, decoding, `overlap`, the best `keep_top`. Boxes may extend beyond the image.

    Args:
        score_threshold: faces with a score above this are kept, 0..1.
        pre_top: candidates per image that are decoded, >= 1.
        keep_top: faces per image that are kept, >= 1.
        overlap: how overlapping boxes are merged.

    Shape:
        boxes (N, A, 4), logits (N, A, 2), anchors (A, 4), size (2,), landmarks (N, A, K, 2) if any
        -> {"boxes": (M, 4) x1, y1, x2, y2 in pixels of the input, "scores": (M,), "count": (N,) int32 number of rows per image,
        "landmarks": (M, K, 2) pixels if any}, image by image, by descending score

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        overlap: Annotated[nn.Layer, Kind("overlap")],
        score_threshold: float = 0.01,
        pre_top: int = 5000,
        keep_top: int = 750,
    ):
        super().__init__()
        if not 0 <= score_threshold <= 1 or pre_top < 1 or keep_top < 1:
            raise ValueError(
                "FacePost: expected score_threshold in 0..1, pre_top and keep_top of at least 1, "
                f"received {score_threshold=}, {pre_top=}, {keep_top=}"
            )
        self.overlap, self.score_threshold, self.pre_top, self.keep_top = overlap, score_threshold, pre_top, keep_top

    def forward(self, outputs: dict) -> dict[str, paddle.Tensor]:
        if paddle.in_dynamic_mode() and 0 in outputs["logits"].shape:  # several of Paddle's operators refuse an empty axis
            return _no_faces(outputs)
        # the softmax of two numbers is the sigmoid of their difference; transposed first, as runtimes take six times as long with two a row
        logits = outputs["logits"].astype("float32").transpose([2, 0, 1])
        margin = logits[0] - logits[1]
        passing = (F.sigmoid(margin) > self.score_threshold).astype("int32").sum(axis=1, dtype="int32")
        longest = paddle.clip(passing.max(), min=1, max=self.pre_top)
        margin, index = paddle.topk(margin, longest, axis=1)  # by the difference, as many certain faces have a score of exactly 1
        scores = F.sigmoid(margin)
        real = scores > self.score_threshold

        rows, scores, real = self.overlap(self._decode(outputs, index), scores, real, self.keep_top)
        where = paddle.nonzero(real)
        faces = {
            "boxes": paddle.gather_nd(rows[:, :, :4], where),
            "scores": paddle.gather_nd(scores, where),
            "count": real.astype("int32").sum(axis=1, dtype="int32"),
        }
        if "landmarks" in outputs:
            # reshaped before the rows are chosen: paddle.inference 3.3 with oneDNN crashes where no row is left to reshape
            points = rows[:, :, 4:].reshape([0, 0, outputs["landmarks"].shape[2], 2])
            faces["landmarks"] = paddle.gather_nd(points, where)
        return faces

    def _decode(self, outputs: dict, index: paddle.Tensor) -> paddle.Tensor:
        """(N, P) anchors -> (N, P, 4 + 2K) boxes and landmarks in pixels."""
        anchors = paddle.gather(outputs["anchors"], index.flatten()).reshape([-1, paddle.shape(index)[1], 4])
        scale = paddle.concat([outputs["size"][1:], outputs["size"][:1]]).astype("float32")
        rows = decode_boxes(rows_at(outputs["boxes"], index).astype("float32"), anchors) * paddle.concat([scale, scale])
        if "landmarks" in outputs:
            count = outputs["landmarks"].shape[2]
            flat = rows_at(outputs["landmarks"].reshape([0, 0, 2 * count]), index)
            points = decode_landmarks(flat.reshape([0, 0, count, 2]).astype("float32"), anchors) * scale
            rows = paddle.concat([rows, points.reshape([0, 0, 2 * count])], axis=-1)
        return rows


def _no_faces(outputs: dict) -> dict[str, paddle.Tensor]:
    """The result for no pictures at all, or for pictures without anchors."""
    pictures = outputs["logits"].shape[0]
    faces = {"boxes": paddle.zeros([0, 4]), "scores": paddle.zeros([0]), "count": paddle.zeros([pictures], "int32")}
    if "landmarks" in outputs:
        faces["landmarks"] = paddle.zeros([0, outputs["landmarks"].shape[2], 2])
    return faces
