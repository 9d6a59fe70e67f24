"""ResNet with bottlenecks, without its classifier: the large backbone of RetinaFace."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers import ConvBN

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@register("backbone")
class ResNet(nn.Layer):
    """ResNet, He et al. 2016, https://arxiv.org/abs/1512.03385, table 1, in torchvision's variant: the stride is in the 3x3 convolution.

    Args:
        depth: number of layers.
        levels: which stages' outputs are returned, ascending; stage i of 1..4 has stride 2 ** (i + 1) and 128 * 2 ** i channels.

    Shape:
        (N, 3, H, W) -> list of (N, out_channels[i], ceil(H / strides[i]), ceil(W / strides[i]))

    Raises:
        ValueError: levels that are empty, not ascending or not in 1..4.
    """

    published_names = (  # torchvision, as in `backbone.conv1.weight` -> ppface
        (r"^backbone\.conv1\.", "backbone.stem.conv."),
        (r"^backbone\.bn1\.", "backbone.stem.norm."),
        (r"^(backbone\.layer\d\.\d+\.conv\d)\.", r"\1.conv."),
        (r"^(backbone\.layer\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
        (r"^(backbone\.layer\d\.\d+)\.downsample\.0\.", r"\1.shortcut.conv."),
        (r"^(backbone\.layer\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
    )

    def __init__(self, depth: Literal[50, 101, 152] = 50, levels: list[int] = [2, 3, 4]):  # noqa: B006 (never changed)
        super().__init__()
        if not levels or levels != sorted(set(levels)) or not set(levels) <= {1, 2, 3, 4}:
            raise ValueError(f"ResNet: expected levels as an ascending list of stages 1 to 4, received {levels}")
        self.stem = ConvBN(3, 64, 7, 2)
        channels, self.levels = 64, levels
        for stage, units in enumerate(UNITS[depth][: levels[-1]], 1):
            middle = 32 * 2**stage
            blocks = []
            for i in range(units):
                blocks.append(Bottleneck(channels, middle, 2 if i == 0 and stage > 1 else 1))
                channels = 4 * middle
            self.add_sublayer(f"layer{stage}", nn.Sequential(*blocks))
        self.out_channels, self.strides = [128 * 2**level for level in levels], [2 ** (level + 1) for level in levels]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = F.max_pool2d(self.stem(x), kernel_size=3, stride=2, padding=1)
        features = []
        for stage in range(1, self.levels[-1] + 1):
            x = getattr(self, f"layer{stage}")(x)
            if stage in self.levels:
                features.append(x)
        return features


class Bottleneck(nn.Layer):
    """relu(shortcut(x) + 1x1(3x3(1x1(x)))), four times as wide outside as inside: figure 5, right."""

    def __init__(self, channels: int, middle: int, stride: int):
        super().__init__()
        self.conv1 = ConvBN(channels, middle, 1)
        self.conv2 = ConvBN(middle, middle, 3, stride)
        self.conv3 = ConvBN(middle, 4 * middle, 1, act=None)
        changes = stride > 1 or channels != 4 * middle
        self.shortcut = ConvBN(channels, 4 * middle, 1, stride, act=None) if changes else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.relu(shortcut + self.conv3(self.conv2(self.conv1(x))))
