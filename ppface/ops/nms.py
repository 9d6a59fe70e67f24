"""Greedy non-maximum suppression, and BlazeFace's blending of overlapping boxes, for dynamic and static graphs.

The candidates of an image are rows in descending order of score, with padding at the end, where `real` is False:
`rows` (N, P, 4 + 2K) holds x1, y1, x2, y2 and K landmarks, `scores` (N, P), `real` (N, P) bool.
paddle.where and paddle.ones_like are avoided, as they warn in a static graph.
"""

import paddle
import paddle.nn.functional as F
from paddle.vision.ops import nms as _nms

from ppface.ops.onnx_tracing import traced_for_onnx

# the ONNX operator in the place of suppression in graphs traced for ONNX, with an alpha below -1, which networks do not use
MARK = "ThresholdedRelu"


def suppress(rows: paddle.Tensor, real: paddle.Tensor, iou_threshold: float, keep_top: int) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Greedy suppression: a row is kept if its IoU with every row kept before it is at most `iou_threshold`.

    Args:
        rows: candidates as above, at least one row per image.
        real: which of them are not padding.
        iou_threshold: 0..1.
        keep_top: largest number of rows kept per image.

    Shape:
        -> kept (N, Q) int64 positions in `rows` by descending score, present (N, Q) bool: False for padding; Q >= 1
    """
    length = paddle.shape(rows)[1]
    keep = _mark(rows, iou_threshold) if traced_for_onnx() else _greedy(rows, real, iou_threshold)
    keep = paddle.logical_and(keep, real)
    keep = paddle.logical_and(keep, keep.astype("int64").cumsum(axis=1) <= keep_top)

    longest = paddle.clip(keep.astype("int64").sum(axis=1).max(), min=1)
    position = paddle.arange(length).unsqueeze(0) + length * paddle.logical_not(keep).astype("int64")
    kept = paddle.sort(position, axis=1)[:, :longest]
    present = kept < length  # suppressed rows were moved beyond the end
    return kept * present.astype("int64"), present


def rows_at(rows: paddle.Tensor, index: paddle.Tensor) -> paddle.Tensor:
    """(N, P, C), (N, Q) positions -> (N, Q, C)."""
    # the index is expanded here: to broadcast it, exported graphs copy `rows`
    return paddle.take_along_axis(rows, index.unsqueeze(-1).expand([-1, -1, rows.shape[2]]), axis=1, broadcast=False)


def _greedy(rows: paddle.Tensor, real: paddle.Tensor, iou_threshold: float) -> paddle.Tensor:
    """(N, P, 4...), (N, P) -> (N, P) bool: what is kept."""
    batch, length = paddle.shape(rows)[0], paddle.shape(rows)[1]
    # One call for the whole batch: boxes of different images are shifted apart, in float64 so that the shift does not change the IoU.
    boxes = rows[:, :, :4].astype("float64")
    distance = boxes.max() - boxes.min() + 1
    boxes = boxes + (paddle.arange(batch).astype("float64") * distance).reshape([-1, 1, 1])
    first = paddle.arange(length).unsqueeze(0) == 0
    where = paddle.nonzero(paddle.logical_or(real, first))  # never empty, which nms does not support in a static graph
    remain = paddle.gather_nd(where, _nms(paddle.gather_nd(boxes, where), iou_threshold).unsqueeze(1))
    ones = (remain[:, 0] >= 0).astype("int64")
    return paddle.scatter_nd(remain, ones, paddle.stack([batch, length])) > 0


def _mark(rows: paddle.Tensor, iou_threshold: float) -> paddle.Tensor:
    """The place of `_greedy` in a graph: the mark takes boxes (N, P, 4) and gives (N, P, 4), above 0 where a box is kept."""
    return F.thresholded_relu(rows[:, :, :4], threshold=-1 - iou_threshold).max(axis=2) > 0


def blend(
    rows: paddle.Tensor,
    scores: paddle.Tensor,
    real: paddle.Tensor,
    kept: paddle.Tensor,
    present: paddle.Tensor,
    iou_threshold: float,
) -> paddle.Tensor:
    """Blending, BlazeFace, https://arxiv.org/abs/1907.05047, section 3.3.

    Every kept row becomes the score-weighted mean of the rows assigned to it, itself included. A row is assigned to the first kept row,
    by descending score, whose IoU with it is above `iou_threshold`.

    Args:
        rows, scores, real: candidates as above.
        kept, present: what `suppress` returned for them with the same threshold.
        iou_threshold: 0..1.

    Shape:
        -> (N, Q, 4 + 2K)
    """
    kept_rows = rows_at(rows, kept)
    near = paddle.logical_and(_iou(kept_rows, rows) > iou_threshold, present.unsqueeze(-1))
    number = paddle.arange(paddle.shape(kept)[1]).reshape([1, -1, 1])
    unassigned = paddle.shape(kept)[1]
    assigned = (number + unassigned * paddle.logical_not(near).astype("int64")).min(axis=1, keepdim=True)  # (N, 1, P)
    weight = paddle.logical_and(assigned == number, real.unsqueeze(1)).astype(rows.dtype) * scores.unsqueeze(1)
    total = weight.sum(axis=-1, keepdim=True)
    no_area = (total <= 0).astype(rows.dtype)  # a box without area has no IoU even with itself: it stays unchanged
    return (paddle.matmul(weight, rows) + no_area * kept_rows) / (total + no_area)


def _iou(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    """(N, Q, 4...), (N, P, 4...) -> (N, Q, P)."""
    a, b = a.unsqueeze(2), b.unsqueeze(1)
    width = paddle.minimum(a[..., 2], b[..., 2]) - paddle.maximum(a[..., 0], b[..., 0])
    height = paddle.minimum(a[..., 3], b[..., 3]) - paddle.maximum(a[..., 1], b[..., 1])
    common = paddle.clip(width, min=0) * paddle.clip(height, min=0)
    union = _area(a) + _area(b) - common
    return common / paddle.clip(union, min=1e-12)


def _area(boxes: paddle.Tensor) -> paddle.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
