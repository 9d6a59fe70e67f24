"""The margins of L-Softmax and SphereFace: a multiple of the target's angle, blended with the angle itself."""

import math

import paddle

from ppface.nets.layers.margin import CosineHead


class MultipleAngleHead(CosineHead):
    """CosineHead with psi(theta) = (-1)^k cos(m theta) - 2k, k = floor(m theta / pi), on the target, blended with its cosine:

        r (lambda cos theta + psi) / (1 + lambda),   lambda = max(lambda_min, base (1 + gamma iteration)^-power)

    `similarity` of a subclass is r cos theta, and `length` is r: the norm of the embedding, or its product with that of the centre.
    cos(m theta) is a Chebyshev polynomial of cos theta and k follows from its thresholds, so that no gradient is infinite. `iteration`
    counts the forward passes of training and is raised before it is used.

    Args:
        blend: base, gamma, power, lambda_min, each >= 0.
        m: multiple of the angle, >= 1.
        embedding_size, class_num, sample_ratio, class_parallel, in_channels: as CosineHead.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        embedding_size: int,
        class_num: int | None,
        blend: tuple[float, float, float, float],
        m: int,
        sample_ratio: float,
        class_parallel: bool | None,
        in_channels: list[int] | None,
    ):
        super().__init__(embedding_size, class_num, 1.0, 1.0, sample_ratio, class_parallel, in_channels)
        base, gamma, power, lambda_min = blend
        if m < 1 or m != int(m) or min(blend) < 0:
            raise ValueError(
                f"{self.class_name}: expected a whole m of at least 1, and base, gamma, power and lambda_min of at least 0, "
                f"received {m=}, {base=}, {gamma=}, {power=}, {lambda_min=}"
            )
        self.m, self.blend = m, blend
        self.register_buffer("iteration", paddle.zeros([1], dtype="int64"))

    @paddle.no_grad()
    def observe(self, norm: paddle.Tensor) -> None:
        self.iteration.set_value(self.iteration + 1)

    def margin(self, product: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        base, gamma, power, lambda_min = self.blend
        weight = max(lambda_min, base * (1 + gamma * self.iteration.item()) ** -power)
        angular = self.psi((product / norm.clip(min=1e-12)).clip(-1.0, 1.0))
        return (weight * product + norm * angular) / (1 + weight)

    def psi(self, cosine: paddle.Tensor) -> paddle.Tensor:
        """(-1)^k cos(m theta) - 2k: falls from 1 at theta = 0 to 1 - 2m at theta = pi."""
        before, polynomial = paddle.ones_like(cosine), cosine
        for _ in range(self.m - 1):
            before, polynomial = polynomial, 2 * cosine * polynomial - before
        k = sum(((cosine < math.cos(j * math.pi / self.m)).astype(cosine.dtype) for j in range(1, self.m)), paddle.zeros_like(cosine))
        return (1 - 2 * (k % 2)) * polynomial - 2 * k
