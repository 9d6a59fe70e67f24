"""Collective operations among the processes of a run, with correct gradients.

Gradients follow the convention of data parallelism: the loss of every process is the mean over its own rows, and the gradients of shared
weights are averaged afterwards. So the gradient of a gathered row is that of its own process' loss.
"""

import paddle
import paddle.distributed as dist
from paddle.autograd import PyLayer


def size() -> int:
    """Number of processes of the run; 1 without distributed training."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0..size-1."""
    return dist.get_rank() if dist.is_initialized() else 0


def gathered(x: paddle.Tensor) -> paddle.Tensor:
    """The rows of all processes, in their order; no gradient.

    Shape:
        (N, ...) per process -> (N * size, ...)
    """
    parts: list[paddle.Tensor] = []
    dist.all_gather(parts, x.detach().contiguous())
    return paddle.concat(parts)


def summed(x: paddle.Tensor) -> paddle.Tensor:
    """The sum over all processes; no gradient."""
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


class _GatherRows(PyLayer):
    @staticmethod
    def forward(ctx, x):
        ctx.rows = x.shape[0]
        return gathered(x)

    @staticmethod
    def backward(ctx, grad):
        total = grad.clone()
        dist.all_reduce(total)  # the sum of the contributions of all processes' columns
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows] * size()


def gather_rows(x: paddle.Tensor) -> paddle.Tensor:
    """The rows of all processes, in their order, with gradient.

    Shape:
        (N, ...) per process -> (N * size, ...)
    """
    return _GatherRows.apply(x)


class _PairedRows(_GatherRows):
    @staticmethod
    def backward(ctx, grad):
        return grad[rank() * ctx.rows : (rank() + 1) * ctx.rows] * size()


def paired_rows(x: paddle.Tensor) -> paddle.Tensor:
    """The rows of all processes, in their order, with gradient, for a loss over pairs that every process computes over all rows.

    Shape:
        (N, ...) per process -> (N * size, ...)
    """
    return _PairedRows.apply(x) if size() > 1 else x


class _Replicated(PyLayer):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        total = grad.clone()
        dist.all_reduce(total)
        return total


def replicated(x: paddle.Tensor) -> paddle.Tensor:
    """A weight that every process applies to its own columns: its gradient is summed over the processes."""
    return _Replicated.apply(x)


def whole_batch(x: paddle.Tensor) -> paddle.Tensor:
    """The rows of all processes, in the order of the whole batch, of which process r of R has every R-th row; no gradient.

    Shape:
        (N, ...) per process -> (N * size, ...)
    """
    if size() == 1:
        return x.detach()
    rows = gathered(x).reshape([size(), *x.shape])
    return rows.transpose([1, 0, *range(2, rows.ndim)]).flatten(0, 1)
