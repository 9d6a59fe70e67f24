"""Gradient reversal: an adversary is trained by the loss of the network that it works against."""

import math

import paddle


def reverse_gradient(x: paddle.Tensor, factor: float) -> paddle.Tensor:
    """x itself, exactly; its gradient is multiplied by -factor. Ganin et al. 2016, https://arxiv.org/abs/1505.07818, section 4.2.

    Shape:
        any -> the same
    """
    return x.detach() + factor * (x.detach() - x)


def ramp(progress: float) -> float:
    """The factor that grows with training: 2 / (1 + exp(-10 p)) - 1 for p in 0..1, 0 at the start (the same paper, section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
