"""Blend: replaces overlapping boxes by their weighted mean."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.ops.nms import blend, suppress


@register("overlap")
class Blend(nn.Layer):
    """Blending, BlazeFace, Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047, section 3.3: less jitter in videos than NMS.

    A face keeps its best score; box and landmarks are the score-weighted means of the best box and the boxes that it would suppress.

    Args:
        iou_threshold: boxes that overlap a better one by more than this are blended into it, 0..1.

    Shape:
        rows (N, P, C) by descending score, scores (N, P), real (N, P) bool -> rows (N, Q, C), scores (N, Q), real (N, Q)

    Raises:
        ValueError: `iou_threshold` outside 0..1.
    """

    def __init__(self, iou_threshold: float = 0.3):
        super().__init__()
        if not 0 <= iou_threshold <= 1:
            raise ValueError(f"Blend: expected iou_threshold in 0..1, received {iou_threshold}")
        self.iou_threshold = iou_threshold

    def forward(self, rows: paddle.Tensor, scores: paddle.Tensor, real: paddle.Tensor, keep_top: int) -> tuple[paddle.Tensor, ...]:
        kept, present = suppress(rows, real, self.iou_threshold, keep_top)
        rows = blend(rows, scores, real, kept, present, self.iou_threshold)
        return rows, paddle.take_along_axis(scores, kept, axis=1, broadcast=False), present
