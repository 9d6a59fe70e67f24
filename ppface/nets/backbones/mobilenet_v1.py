"""MobileNetV1 without its classifier: the small backbone of RetinaFace."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers import Act
from ppface.nets.layers.mobile_stages import PYTORCH_NAMES, mobile_stages


@register("backbone")
class MobileNetV1(nn.Layer):
    """MobileNet, Howard et al. 2017, https://arxiv.org/abs/1704.04861, table 1, with feature maps of strides 8, 16 and 32.

    With width 0.25 and act "leaky_0.1" it is the body of https://github.com/biubug6/Pytorch_Retinaface (names: see
    configs/weights/retinaface_pytorch.yaml).

    Args:
        width: factor on the channels of all layers, > 0; 32 * width must be a whole number.
        act: activation after every convolution.

    Shape:
        (N, 3, H, W) -> [(N, 256 * width, ceil(H / 8), ceil(W / 8)), (N, 512 * width, ceil(H / 16), ...), (N, 1024 * width, ...)]

    Raises:
        ValueError: a width that gives no whole number of channels.
    """

    published_names = PYTORCH_NAMES

    def __init__(self, width: float = 1.0, act: Act = "relu"):
        super().__init__()
        if width <= 0 or 32 * width % 1:
            raise ValueError(f"MobileNetV1: expected a width above 0 that gives whole numbers of channels (32 * width), received {width}")
        (self.stage1, self.stage2, self.stage3), self.out_channels = mobile_stages(width, act)
        self.strides = [8, 16, 32]

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return [fine, middle, self.stage3(middle)]
