"""FPN: a feature pyramid of any number of levels, with SSH's context modules."""

from typing import Annotated, Literal

import paddle
from paddle import nn

from ppface.core.registry import Supplied, register
from ppface.nets.layers import Act, ConvBN
from ppface.nets.layers.deformable_conv import DeformableConvBN
from ppface.nets.layers.upsample import upsampled


@register("neck")
class FPN(nn.Layer):
    """Neck of RetinaFace, Deng et al. 2020, https://arxiv.org/abs/1905.00641, section 3.2: a feature pyramid, Lin et al. 2017,
    https://arxiv.org/abs/1612.03144, section 3, then the context modules of SSH, Najibi et al. 2017, https://arxiv.org/abs/1708.03979.

    The layers are those of https://github.com/biubug6/Pytorch_Retinaface: batch norm after every convolution; each level but the
    coarsest is its 1x1 lateral + the upsampled coarser level (after that one's own 3x3 convolution), then a 3x3 convolution.

    Args:
        in_channels: channels of the feature maps, the highest resolution first, each map half as large as the one before.
        channels: of every level.
        extra_levels: coarser levels, each a 3x3 convolution with stride 2: of the last feature map, then of the level before (P6 of the
            paper is the first).
        context: "ssh" puts a context module after every level, None leaves them out.
        deformable: the 3x3 convolutions of laterals and context modules are deformable, as in the paper.
        act: activation; "leaky_0.1" in the published network of 64 channels, "relu" in that of 256.

    Shape:
        list of (N, in_channels[i], Hi, Wi) -> list of (N, channels, Hi, Wi), one more per extra level

    Raises:
        ValueError: no feature map, channels below 4 or not a multiple of 4 before context modules, or negative extra_levels.
    """

    published_names = (  # Pytorch_Retinaface -> ppface
        (r"^fpn\.output1\.", "neck.lateral.0."),
        (r"^fpn\.output2\.", "neck.lateral.1."),
        (r"^fpn\.output3\.", "neck.lateral.2."),
        (r"^fpn\.merge1\.", "neck.merge.0."),
        (r"^fpn\.merge2\.", "neck.merge.1."),
        (r"^ssh1\.", "neck.context.0."),
        (r"^ssh2\.", "neck.context.1."),
        (r"^ssh3\.", "neck.context.2."),
        (r"\.conv3X3\.", ".conv3."),
        (r"\.conv5X5_1\.", ".shared."),
        (r"\.conv5X5_2\.", ".conv5."),
        (r"\.conv7X7_2\.", ".conv7.0."),
        (r"\.conv7x7_3\.", ".conv7.1."),
        (r"^(neck\.(?:lateral\.\d|merge\.\d|context\.\d\.(?:conv3|shared|conv5|conv7\.\d)))\.0\.", r"\1.conv."),
        (r"^(neck\.(?:lateral\.\d|merge\.\d|context\.\d\.(?:conv3|shared|conv5|conv7\.\d)))\.1\.", r"\1.norm."),
    )

    def __init__(
        self,
        in_channels: Annotated[list[int], Supplied("by the backbone")],
        channels: int = 64,
        extra_levels: int = 0,
        context: Literal["ssh"] | None = "ssh",
        deformable: bool = False,
        act: Act = "leaky_0.1",
    ):
        super().__init__()
        if not in_channels or extra_levels < 0:
            raise ValueError(f"FPN: expected feature maps and extra_levels >= 0, received {in_channels=}, {extra_levels=}")
        if channels < 4 or (context and channels % 4):
            raise ValueError(f"FPN: expected channels to be a multiple of 4, received {channels}")
        self.lateral = nn.LayerList([ConvBN(c, channels, 1, act=act) for c in in_channels])
        self.merge = nn.LayerList([_conv3x3(channels, channels, act, deformable) for _ in in_channels[1:]])
        firsts = [in_channels[-1]] + [channels] * extra_levels
        self.extra = nn.LayerList([ConvBN(firsts[i], channels, 3, 2, act=act) for i in range(extra_levels)])
        self.out_channels = [channels] * (len(in_channels) + extra_levels)
        self.context = nn.LayerList([SSH(channels, act, deformable) for _ in self.out_channels]) if context else None

    def forward(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        return self.in_context(self.levels(features))

    def levels(self, features: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """The pyramid, before the context modules."""
        levels = [lateral(features[i]) for i, lateral in enumerate(self.lateral)]
        for i in reversed(range(len(self.merge))):
            levels[i] = self.merge[i](levels[i] + upsampled(levels[i + 1], levels[i]))
        last = features[-1]
        for extra in self.extra:
            last = extra(last)
            levels.append(last)
        return levels

    def in_context(self, levels: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """The levels after their context modules, if there are any."""
        if self.context is None:
            return levels
        return [context(levels[i]) for i, context in enumerate(self.context)]


class SSH(nn.Layer):
    """Context module of SSH, https://arxiv.org/abs/1708.03979, figure 4: fields of view of 3x3, 5x5 and 7x7, ReLU, concatenated.

    The ReLU comes before the concatenation, which gives the same: oneDNN in paddle.inference 3.3 cannot load a ReLU after it.

    Shape:
        (N, C, H, W) -> (N, C, H, W)
    """

    def __init__(self, channels: int, act: Act, deformable: bool):
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv3 = _conv3x3(channels, half, "relu", deformable)
        self.shared = _conv3x3(channels, quarter, act, deformable)
        self.conv5 = _conv3x3(quarter, quarter, "relu", deformable)
        self.conv7 = nn.Sequential(_conv3x3(quarter, quarter, act, deformable), _conv3x3(quarter, quarter, "relu", deformable))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        shared = self.shared(x)
        return paddle.concat([self.conv3(x), self.conv5(shared), self.conv7(shared)], axis=1)


def _conv3x3(channels_in: int, out: int, act: Act, deformable: bool) -> nn.Layer:
    return DeformableConvBN(channels_in, out, act) if deformable else ConvBN(channels_in, out, 3, act=act)
