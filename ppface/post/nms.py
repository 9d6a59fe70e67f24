"""NMS: keeps the best of overlapping boxes."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.ops.nms import rows_at, suppress


@register("overlap")
class NMS(nn.Layer):
    """Greedy non-maximum suppression, as in SSD, https://arxiv.org/abs/1512.02325, section 2.2.

    Args:
        iou_threshold: boxes that overlap a better one by more than this are dropped, 0..1.

    Shape:
        rows (N, P, C) by descending score, scores (N, P), real (N, P) bool -> rows (N, Q, C), scores (N, Q), real (N, Q)

    Raises:
        ValueError: `iou_threshold` outside 0..1.
    """

    def __init__(self, iou_threshold: float = 0.3):
        super().__init__()
        if not 0 <= iou_threshold <= 1:
            raise ValueError(f"NMS: expected iou_threshold in 0..1, received {iou_threshold}")
        self.iou_threshold = iou_threshold

    def forward(self, rows: paddle.Tensor, scores: paddle.Tensor, real: paddle.Tensor, keep_top: int) -> tuple[paddle.Tensor, ...]:
        kept, present = suppress(rows, real, self.iou_threshold, keep_top)
        return rows_at(rows, kept), paddle.take_along_axis(scores, kept, axis=1, broadcast=False), present
