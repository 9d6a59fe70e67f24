"""The backbone of PFLD: MobileNetV2 blocks, with feature maps of three scales for the landmarks and one for the head pose."""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers import ConvBN
from ppface.nets.layers.fast import kaiming
from ppface.nets.layers.picture_size import check_picture_size

# Guo et al. 2019, table 2: (expansion, channels, blocks, stride) of the rows of bottlenecks
ROWS = ((2, 64, 5, 2), (2, 128, 1, 2), (4, 128, 6, 1), (2, 16, 1, 1))


@register("backbone")
class PFLD(nn.Layer):
    """PFLD, Guo et al. 2019, https://arxiv.org/abs/1902.10859, table 2, for aligned or cropped faces.

    With width 1 and `depthwise_stem` false it is the network of https://github.com/polarisZhao/PFLD-pytorch (names: see
    configs/weights/pfld_polariszhao.yaml), in which the first block of a row has no shortcut.

    Args:
        width: factor on the channels of all bottlenecks, > 0.
        depthwise_stem: whether the second 3x3 convolution is depthwise, as in the paper.
        input_size: (height, width) in pixels, multiples of 16.
        coarse_norm: whether the last convolution has batch norm, which the published code defines but does not call. Without it, base
            learning rates from 0.001 set all of its outputs to 0 for good within 330 steps, and the mean face alone is learned.

    Shape:
        (N, 3, H, W) -> [(N, 64 * width, H / 4, W / 4) for the pose, (N, 16 * width, H / 8, W / 8), (N, 32, H / 16, W / 16), (N, 128, 1, 1)]

    Raises:
        ValueError: a width that gives no channels, or an input_size that is not a multiple of 16.
    """

    any_size = False
    published_names = (  # PFLD-pytorch -> ppface
        (r"^backbone\.conv1\.", "backbone.stem.0.conv."),
        (r"^backbone\.bn1\.", "backbone.stem.0.norm."),
        (r"^backbone\.conv2\.", "backbone.stem.1.conv."),
        (r"^backbone\.bn2\.", "backbone.stem.1.norm."),
        (r"^backbone\.conv3_1\.", "backbone.rows.0.0."),
        (r"^backbone\.block3_2\.", "backbone.rows.0.1."),
        (r"^backbone\.block3_3\.", "backbone.rows.0.2."),
        (r"^backbone\.block3_4\.", "backbone.rows.0.3."),
        (r"^backbone\.block3_5\.", "backbone.rows.0.4."),
        (r"^backbone\.conv4_1\.", "backbone.rows.1.0."),
        (r"^backbone\.conv5_1\.", "backbone.rows.2.0."),
        (r"^backbone\.block5_2\.", "backbone.rows.2.1."),
        (r"^backbone\.block5_3\.", "backbone.rows.2.2."),
        (r"^backbone\.block5_4\.", "backbone.rows.2.3."),
        (r"^backbone\.block5_5\.", "backbone.rows.2.4."),
        (r"^backbone\.block5_6\.", "backbone.rows.2.5."),
        (r"^backbone\.conv6_1\.", "backbone.rows.3.0."),
        (r"^(backbone\.rows\.\d\.\d)\.conv\.0\.", r"\1.expand.conv."),
        (r"^(backbone\.rows\.\d\.\d)\.conv\.1\.", r"\1.expand.norm."),
        (r"^(backbone\.rows\.\d\.\d)\.conv\.3\.", r"\1.depthwise.conv."),
        (r"^(backbone\.rows\.\d\.\d)\.conv\.4\.", r"\1.depthwise.norm."),
        (r"^(backbone\.rows\.\d\.\d)\.conv\.6\.", r"\1.project.conv."),
        (r"^(backbone\.rows\.\d\.\d)\.conv\.7\.", r"\1.project.norm."),
        (r"^backbone\.conv7\.0\.", "backbone.middle.conv."),
        (r"^backbone\.conv7\.1\.", "backbone.middle.norm."),
        (r"^backbone\.conv8\.", "backbone.coarse."),
        (r"^backbone\.fc\.", "head.linear."),
    )

    def __init__(
        self,
        width: float = 1.0,
        depthwise_stem: bool = True,
        input_size: tuple[int, int] = (112, 112),
        coarse_norm: bool = False,
    ):
        super().__init__()
        if min(input_size) < 16 or any(side % 16 for side in input_size):
            raise ValueError(f"PFLD: expected an input_size of multiples of 16, received {list(input_size)}")
        if width <= 0 or min(round(channels * width) for _, channels, _, _ in ROWS) < 1:
            raise ValueError(f"PFLD: expected a width that gives at least one channel, received {width}")
        self.input_size = (input_size[0], input_size[1])
        channels = 64
        self.stem = nn.Sequential(ConvBN(3, channels, 3, 2), ConvBN(channels, channels, 3, groups=channels if depthwise_stem else 1))
        self.rows = nn.LayerList()
        for expansion, out, count, stride in ROWS:
            out, blocks = round(out * width), []
            for i in range(count):
                blocks.append(Bottleneck(channels, out, expansion, stride if i == 0 else 1, shortcut=i > 0))
                channels = out
            self.rows.append(nn.Sequential(*blocks))
        self.middle = ConvBN(channels, 32, 3, 2)
        last = [side // 16 for side in input_size]
        self.coarse = nn.Conv2D(32, 128, last, weight_attr=kaiming())
        self.coarse_norm = nn.BatchNorm2D(128) if coarse_norm else nn.Identity()
        self.out_channels = [round(64 * width), channels, 32, 128]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        check_picture_size("PFLD", x, self.input_size)
        pose = self.rows[0](self.stem(x))
        fine = self.rows[3](self.rows[2](self.rows[1](pose)))
        middle = self.middle(fine)
        return [pose, fine, middle, F.relu(self.coarse_norm(self.coarse(middle)))]


class Bottleneck(nn.Layer):
    """1x1 expansion, 3x3 depthwise, 1x1 without activation, and the input added where `shortcut`: MobileNetV2, Sandler et al. 2018,
    https://arxiv.org/abs/1801.04381, figure 3."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int, shortcut: bool):
        super().__init__()
        middle = channels * expansion
        self.expand = ConvBN(channels, middle, 1)
        self.depthwise = ConvBN(middle, middle, 3, stride, groups=middle)
        self.project = ConvBN(middle, out, 1, act=None)
        self.shortcut = shortcut

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y
