"""BlazeNeck: a feature pyramid of two levels and context modules, both optional."""

from typing import Annotated, Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import Supplied, register
from ppface.nets.layers import Act, ConvBN
from ppface.nets.layers.upsample import upsampled


@register("neck")
class BlazeNeck(nn.Layer):
    """Neck of BlazeFace-FPN-SSH, https://github.com/PaddlePaddle/PaddleDetection, ppdet/modeling/necks/blazeface_fpn.py:
    a feature pyramid, Lin et al. 2017, https://arxiv.org/abs/1612.03144,
    then the context module of SSH, Najibi et al. 2017, https://arxiv.org/abs/1708.03979, figure 4.

    Args:
        in_channels: channels of the two feature maps, the higher resolution first.
        neck_type: which of the two parts are used; None and "None" return the features unchanged.
        conv_lr: factor on the learning rate of all convolution weights; 0.1 in PaddleDetection's recipe.

    Shape:
        [(N, C0, H, W), (N, C1, ceil(H / 2), ceil(W / 2))] -> the same sizes with `out_channels`: C1 // 2 each after a pyramid

    Raises:
        ValueError: not two feature maps, or channels that cannot be split (by 2 for the pyramid, then by 4 for the context).
    """

    published_names = (  # PaddleDetection -> ppface
        (r"^neck\.fpn\.conv1_fpn\.", "neck.fpn.fine."),
        (r"^neck\.fpn\.conv2_fpn\.", "neck.fpn.coarse."),
        (r"^neck\.fpn\.conv3_fpn\.", "neck.fpn.merge."),
        (r"^neck\.ssh1\.conv(\d)_ssh\.", r"neck.ssh.0.conv.\1."),
        (r"^neck\.ssh2\.conv(\d)_ssh\.", r"neck.ssh.1.conv.\1."),
    )

    def __init__(
        self,
        in_channels: Annotated[list[int], Supplied("by the backbone")],
        neck_type: Literal["None", "only_fpn", "only_ssh", "fpn_ssh"] | None = "fpn_ssh",
        conv_lr: float = 1.0,
    ):
        super().__init__()
        parts = neck_type or "None"
        if parts != "None" and len(in_channels) != 2:
            raise ValueError(f"BlazeNeck: expected two feature maps, received in_channels={in_channels}")
        self.fpn, self.ssh = None, None
        channels = list(in_channels)
        if "fpn" in parts:
            self.fpn = Pyramid(channels, channels[1] // 2, conv_lr)
            channels = [channels[1] // 2] * 2
        if "ssh" in parts:
            if any(c < 4 or c % 4 for c in channels):
                raise ValueError(f"BlazeNeck: expected multiples of 4 channels before the context modules, received {channels}")
            self.ssh = nn.LayerList([Context(c, conv_lr) for c in channels])
        self.out_channels = channels

    def forward(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        return self.in_context(self.levels(features))

    def levels(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """The pyramid, before the context modules."""
        return self.fpn(*features) if self.fpn is not None else features

    def in_context(self, levels: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """The levels after their context modules, if there are any."""
        return levels if self.ssh is None else [context(levels[i]) for i, context in enumerate(self.ssh)]


class Pyramid(nn.Layer):
    """Two 1x1 laterals; the coarse one, upsampled by 2, is added to the fine one, followed by a 3x3 convolution."""

    def __init__(self, in_channels: list[int], out: int, conv_lr: float):
        super().__init__()
        self.fine = ConvBN(in_channels[0], out, 1, act="leaky", conv_lr=conv_lr)
        self.coarse = ConvBN(in_channels[1], out, 1, act="leaky", conv_lr=conv_lr)
        self.merge = ConvBN(out, out, 3, act="leaky", conv_lr=conv_lr)

    def forward(self, fine: paddle.Tensor, coarse: paddle.Tensor) -> list[paddle.Tensor]:
        fine, coarse = self.fine(fine), self.coarse(coarse)
        return [self.merge(fine + upsampled(coarse, fine)), coarse]


class Context(nn.Layer):
    """SSH context module: one, two and three 3x3 convolutions in sequence, their outputs concatenated, ReLU."""

    def __init__(self, channels: int, conv_lr: float):
        super().__init__()
        half, quarter = channels // 2, channels // 4
        widths = [channels, half, quarter, quarter, quarter, quarter]
        acts: list[Act | None] = [None, "leaky", None, "leaky", None]
        self.conv = nn.LayerList([ConvBN(widths[i], widths[i + 1], 3, act=act, conv_lr=conv_lr) for i, act in enumerate(acts)])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        one = self.conv[0](x)
        two = self.conv[2](self.conv[1](one))
        three = self.conv[4](self.conv[3](two))
        return F.relu(paddle.concat([one, two, three], axis=1))
