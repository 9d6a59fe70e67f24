"""InceptionResNetV1: the network of the public FaceNet weights."""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.nets.layers.channel_means import channel_means
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import kaiming
from ppface.nets.layers.norm_act import norm_act

SMALLEST = 75  # pixels of a side: fewer leave nothing of the last map


@register("backbone")
class InceptionResNetV1(nn.Layer):
    """Inception-ResNet-v1, Szegedy et al. 2016, https://arxiv.org/abs/1602.07261, figures 10 to 14, as the embedding network of FaceNet,
    Schroff et al. 2015, https://arxiv.org/abs/1503.03832, in the layout of https://github.com/timesler/facenet-pytorch
    (models/inception_resnet_v1.py).

    Args:
        embedding_size: D; 512 in facenet-pytorch, 128 in the copy of bubbliiiing/facenet-pytorch.
        dropout: probability before the linear layer; 0.5 in that copy.

    Shape:
        (N, 3, H, W) -> (N, embedding_size), before L2 normalisation; 160x160 as published, at least 75x75

    Raises:
        ValueError: an embedding_size below 1, or a dropout that is not at least 0 and below 1.
        DataError: smaller pictures.
    """

    def __init__(self, embedding_size: int = 512, dropout: float = 0.6):
        super().__init__()
        if embedding_size < 1:
            raise ValueError(f"InceptionResNetV1: expected embedding_size of at least 1, received {embedding_size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"InceptionResNetV1: expected dropout of at least 0 and below 1, received {dropout}")
        self.conv2d_1a = Conv(3, 32, 3, stride=2, padded=False)
        self.conv2d_2a = Conv(32, 32, 3, padded=False)
        self.conv2d_2b = Conv(32, 64, 3)
        self.conv2d_3b = Conv(64, 80, 1)
        self.conv2d_4a = Conv(80, 192, 3, padded=False)
        self.conv2d_4b = Conv(192, 256, 3, stride=2, padded=False)
        self.repeat_1 = nn.Sequential(*(Residual(256, _branches35(), 0.17) for _ in range(5)))
        self.mixed_6a = Reduction([[Conv(256, 384, 3, 2, False)], [Conv(256, 192, 1), Conv(192, 192, 3), Conv(192, 256, 3, 2, False)]])
        self.repeat_2 = nn.Sequential(*(Residual(896, _branches(896, 128, 7), 0.10) for _ in range(10)))
        self.mixed_7a = Reduction(
            [
                [Conv(896, 256, 1), Conv(256, 384, 3, 2, False)],
                [Conv(896, 256, 1), Conv(256, 256, 3, 2, False)],
                [Conv(896, 256, 1), Conv(256, 256, 3), Conv(256, 256, 3, 2, False)],
            ]
        )
        self.repeat_3 = nn.Sequential(*(Residual(1792, _branches(1792, 192, 3), 0.20) for _ in range(5)))
        self.block8 = Residual(1792, _branches(1792, 192, 3), 1.0, act=False)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(1792, embedding_size, bias_attr=False)
        self.last_bn = nn.BatchNorm1D(embedding_size, epsilon=1e-3)
        self.out_channels = [embedding_size]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if paddle.in_dynamic_mode() and min(x.shape[2:]) < SMALLEST:
            received = list(x.shape[2:])
            raise DataError(f"InceptionResNetV1: expected pictures of at least {SMALLEST}x{SMALLEST}, received {received}: enlarge them")
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = F.max_pool2d(x, kernel_size=3, stride=2)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.repeat_2(self.mixed_6a(self.repeat_1(x)))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        return self.last_bn(self.last_linear(self.dropout(channel_means(x).flatten(1))))


class Conv(nn.Layer):
    """Convolution without bias, batch norm with eps 1e-3, ReLU; the padding keeps the size at stride 1 unless `padded` is false."""

    def __init__(self, channels: int, out: int, kernel: int | tuple[int, int], stride: int = 1, padded: bool = True):
        super().__init__()
        if padded and isinstance(kernel, int):
            self.conv = convolution(channels, out, kernel, stride, 1, kaiming())
        else:
            sides = (kernel, kernel) if isinstance(kernel, int) else kernel
            padding = [side // 2 for side in sides] if padded else 0
            self.conv = nn.Conv2D(channels, out, sides, stride, padding, weight_attr=kaiming(), bias_attr=False)
        self.bn = nn.BatchNorm2D(out, epsilon=1e-3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return norm_act(self.conv(x), self.bn, F.relu, 0.0)


class Residual(nn.Layer):
    """relu(x + scale * 1x1 of the branches' concatenation): figures 10, 11 and 13."""

    def __init__(self, channels: int, branches: list[list[Conv]], scale: float, act: bool = True):
        super().__init__()
        self.count, self.scale, self.act = _add(self, branches), scale, act
        self.conv2d = nn.Conv2D(sum(branch[-1].conv.weight.shape[0] for branch in branches), channels, 1, weight_attr=kaiming())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = x + self.scale * self.conv2d(paddle.concat([getattr(self, f"branch{i}")(x) for i in range(self.count)], axis=1))
        return F.relu(y) if self.act else y


class Reduction(nn.Layer):
    """The concatenation of branches with stride 2 and of a maximum pooling: figures 7 and 12."""

    def __init__(self, branches: list[list[Conv]]):
        super().__init__()
        self.count = _add(self, branches)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        pooled = F.max_pool2d(x, kernel_size=3, stride=2)
        return paddle.concat([*(getattr(self, f"branch{i}")(x) for i in range(self.count)), pooled], axis=1)


def _add(layer: nn.Layer, branches: list[list[Conv]]) -> int:
    """Adds the branches as `branch0`, `branch1` and so on, a single convolution without an index, and returns how many."""
    for i, branch in enumerate(branches):
        layer.add_sublayer(f"branch{i}", branch[0] if len(branch) == 1 else nn.Sequential(*branch))
    return len(branches)


def _branches35() -> list[list[Conv]]:
    return [[Conv(256, 32, 1)], [Conv(256, 32, 1), Conv(32, 32, 3)], [Conv(256, 32, 1), Conv(32, 32, 3), Conv(32, 32, 3)]]


def _branches(channels: int, out: int, kernel: int) -> list[list[Conv]]:
    return [[Conv(channels, out, 1)], [Conv(channels, out, 1), Conv(out, out, (1, kernel)), Conv(out, out, (kernel, 1))]]
