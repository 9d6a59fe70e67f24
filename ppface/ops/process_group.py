"""What the processes of a run share, with right gradients.

Gradients follow the habit of data parallelism, where every process has a loss that is the mean over its own rows and the gradients of
shared weights are averaged afterwards: the gradient of a gathered row is that of its process' own loss.
"""

import paddle
import paddle.distributed as dist
from paddle.autograd import PyLayer


def size() -> int:
    """How many processes run together; 1 where none were started."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process among them."""
    return dist.get_rank() if dist.is_initialized() else 0


def gathered(x: paddle.Tensor) -> paddle.Tensor:
    """The rows of all processes, in their order; no gradient.

    Shape:
        (N, ...) in each -> (N * size, ...)
    """
    parts: list[paddle.Tensor] = []
    dist.all_gather(parts, x.detach().contiguous())
    return paddle.concat(parts)


class _GatherRows(PyLayer):
    @staticmethod
    def forward(ctx, x):
        ctx.rows = x.shape[0]
        return gathered(x)

    @staticmethod
    def backward(ctx, grad):
        total = grad.clone()
        dist.all_reduce(total)  # every process holds what its own columns add
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows] * size()


def gather_rows(x: paddle.Tensor) -> paddle.Tensor:
    """The rows of all processes, in their order, with gradient.

    Shape:
        (N, ...) in each -> (N * size, ...)
    """
    return _GatherRows.apply(x)


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
    """A weight that every process holds and applies to its own columns: its gradient is the sum over all of them."""
    return _Replicated.apply(x)
