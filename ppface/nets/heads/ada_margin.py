"""AdaMargin: the margin of AdaFace, adapted to the image quality."""

import math

import paddle

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, CosineHead, InChannels
from ppface.ops import process_group

EPS = 1e-3


@register("head")
class AdaMargin(CosineHead):
    """AdaFace, Kim et al. 2022, https://arxiv.org/abs/2204.00964, equations 10 to 13.

        a = clip((|z| - mean) / (std + eps) * h, -1, 1),   |z| clipped to eps..100 and without gradient, eps = 1e-3
        target: s * (cos(clip(theta - m a, eps, pi - eps)) - (m + m a));   others: s * cos theta;   cos clipped to +-(1 - eps)
        mean <- t_alpha * mean of |z| in the batch + (1 - t_alpha) * mean, likewise std (unbiased), before a is computed, only in training

    a = -1 gives ArcFace, 0 CosFace, +1 a negative angular margin. Batches of one picture do not change std. Mean and std are computed over
    the pictures of all processes.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.
        m: margin; the paper uses 0.4, and 0.75 for low-quality pictures.
        s: scale of the cosines, > 0.
        h: concentration: the margin saturates where |z| is std / h away from the mean, > 0.
        t_alpha: weight of the current batch in the running mean and std, 0..1.
        sample_ratio: share of the classes used in one step, above 0, at most 1.
        class_parallel: whether the class centres are split over processes; None: if they are sampled.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C), see CosineHead for sampled classes; buffers t, batch_mean, batch_std (1,)

    Raises:
        ValueError: an argument out of its range.
        DataError: a label outside 0..class_num-1, labels that are not integers, or a number of labels other than N.
    """

    def __init__(
        self,
        embedding_size: int,
        class_num: ClassNum = None,
        m: float = 0.4,
        s: float = 64.0,
        h: float = 0.333,
        t_alpha: float = 0.01,
        sample_ratio: float = 1.0,
        class_parallel: bool | None = None,
        in_channels: InChannels = None,
    ):
        super().__init__(embedding_size, class_num, s, 1 - EPS, sample_ratio, class_parallel, in_channels)
        if h <= 0 or not 0 <= t_alpha <= 1:
            raise ValueError(f"AdaMargin: expected h > 0 and t_alpha in 0..1, received h={h}, t_alpha={t_alpha}")
        self.m, self.h, self.t_alpha = m, h, t_alpha
        self.register_buffer("t", paddle.zeros([1]))
        self.register_buffer("batch_mean", paddle.full([1], 20.0))
        self.register_buffer("batch_std", paddle.full([1], 100.0))

    @paddle.no_grad()
    def observe(self, norm: paddle.Tensor) -> None:
        norm = norm.clip(EPS, 100.0)
        if process_group.size() > 1 and not self.split:
            norm = process_group.gathered(norm)
        mean, count = norm.mean(), norm.shape[0]
        self.batch_mean.set_value(mean * self.t_alpha + (1 - self.t_alpha) * self.batch_mean)
        if count > 1:
            std = paddle.sqrt(((norm - mean) ** 2).sum() / (count - 1))
            self.batch_std.set_value(std * self.t_alpha + (1 - self.t_alpha) * self.batch_std)

    def margin(self, cosine: paddle.Tensor, norm: paddle.Tensor) -> paddle.Tensor:
        scaler = ((norm.detach().clip(EPS, 100.0) - self.batch_mean) / (self.batch_std + EPS) * self.h).clip(-1.0, 1.0)
        theta = (paddle.acos(cosine) - self.m * scaler).clip(EPS, math.pi - EPS)
        return paddle.cos(theta) - (self.m + self.m * scaler)
