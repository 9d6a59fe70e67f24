"""Softmax cross entropy, also over columns that are distributed over processes."""

import paddle
import paddle.distributed as dist
from paddle.autograd import PyLayer


class _CrossEntropy(PyLayer):
    @staticmethod
    def forward(ctx, logits, label, smoothing, columns, distributed):
        top = logits.max(axis=1)
        if distributed:
            dist.all_reduce(top, op=dist.ReduceOp.MAX)
        share = paddle.exp(logits - top.unsqueeze(1))
        rows = paddle.nonzero(label >= 0).flatten()
        index = paddle.stack([rows, label[rows]], axis=1)
        target = paddle.zeros([logits.shape[0]])
        if rows.shape[0]:
            target = paddle.scatter(target, rows, paddle.gather_nd(logits, index))
        sums = paddle.stack([share.sum(axis=1), target, logits.sum(axis=1)])
        if distributed:
            dist.all_reduce(sums)
        ctx.save_for_backward(share / sums[0].unsqueeze(1), index)
        ctx.columns, ctx.smoothing = columns, smoothing
        return (paddle.log(sums[0]) + top - (1 - smoothing) * sums[1] - smoothing / columns * sums[2]).mean()

    @staticmethod
    def backward(ctx, grad):
        share, index = ctx.saved_tensor()
        out = share - ctx.smoothing / ctx.columns if ctx.smoothing else share
        if index.shape[0]:
            out = paddle.scatter_nd_add(out, index, paddle.full([index.shape[0]], ctx.smoothing - 1))
        return out * (grad / share.shape[0]), None


def cross_entropy(logits: paddle.Tensor, label: paddle.Tensor, smoothing: float = 0.0, columns: int | None = None) -> paddle.Tensor:
    """mean_i sum_j -q_ij log softmax(logits_i)_j with q_ij = (1 - smoothing) [j = label_i] + smoothing / C.

    On CPUs, Paddle's own cross entropy clips logits at 64 below the largest one: with scaled cosines its loss is wrong by up to a half.
    Over several processes only the largest logit, the sum of exponentials and the target's logit are reduced, as in An et al. 2022,
    https://arxiv.org/abs/2203.15565, section 3.1.

    Args:
        logits: float32; only the columns of this process, if they are distributed.
        label: the target's column; -1 if another process holds it.
        smoothing: 0..1.
        columns: C, the total number of columns, if they are distributed over processes; otherwise None.

    Shape:
        (N, n), (N,) int64 -> scalar, the same in every process
    """
    return _CrossEntropy.apply(logits, label, smoothing, columns or logits.shape[1], columns is not None)
