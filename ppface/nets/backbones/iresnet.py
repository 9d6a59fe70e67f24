"""IResNet: the residual networks of InsightFace and MagFace, in the layout of most public face recognition checkpoints."""

import math
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.conv import convolution
from ppface.nets.layers.fast import PReLU
from ppface.nets.layers.norm_act import NormActSequential, norm_act
from ppface.nets.layers.picture_size import check_picture_size, check_sizes

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 200: (6, 26, 60, 6)}
CHANNELS = (64, 128, 256, 512)
STRIDE = 16


@register("backbone")
class IResNet(nn.Layer):
    """The improved residual network of ArcFace, Deng et al. 2019, https://arxiv.org/abs/1801.07698, section 3.1, as in
    https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch (backbones/iresnet.py).

    Units of BN, 3x3, BN, PReLU, 3x3, BN. The first of every stage has stride 2 and a 1x1 convolution as its shortcut; AdaFace's networks
    have a maximum pooling there where the channels stay the same, and other names. The scale of the last batch norm is 1, not trained.
    Files of InsightFace's older MXNet networks (fresnet, `.params`) load with variant "magface", whose eps they have, and a std of 128.

    Args:
        depth: number of layers.
        embedding_size: D.
        dropout: probability before the linear layer; None: 0, and 0.4 of whole channels in MagFace.
        variant: "magface", https://github.com/IrvingMeng/MagFace: batch norm with eps 2e-5, running statistics that follow at 0.9.
        input_size: (height, width) in pixels, multiples of 16.

    Shape:
        (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation; with `keeps_map` (that, the last map (N, *map_shape))

    Raises:
        ValueError: an embedding_size below 1, a dropout outside 0..1, or an input_size that is not a multiple of 16.
        DataError: pictures of another size.
    """

    any_size = keeps_map = False
    published_names = (  # InsightFace's MXNet networks, as in `stage1_unit1_bn1_gamma` -> ppface
        *((rf"^stage(\d)_unit{i + 1}_", rf"backbone.layer\g<1>.{i}.") for i in range(max(map(max, UNITS.values())))),
        (r"^(backbone\.layer\d\.\d+)\.conv1sc_", r"\1.downsample.0_"),
        (r"^(backbone\.layer\d\.\d+)\.sc_", r"\1.downsample.1_"),
        (r"^(backbone\.layer\d\.\d+)\.relu1_", r"\1.prelu_"),
        (r"^(conv|bn)0_", r"backbone.\g<1>1_"),
        (r"^relu0_", "backbone.prelu_"),
        (r"^bn1_", "backbone.bn2_"),
        (r"^pre_fc1_", "backbone.fc_"),
        (r"^fc1_", "backbone.features_"),
        (r"^(backbone\..+)_(?:gamma|weight)$", r"\1.weight"),
        (r"^(backbone\..+)_(?:beta|bias)$", r"\1.bias"),
        (r"^(backbone\..+)_moving_(mean|var)$", r"\1.running_\2"),
    )

    def __init__(
        self,
        depth: Literal[18, 34, 50, 100, 200] = 50,
        embedding_size: int = 512,
        dropout: float | None = None,
        variant: Literal["insightface", "magface"] = "insightface",
        input_size: tuple[int, int] = (112, 112),
    ):
        super().__init__()
        check_sizes("IResNet", embedding_size, input_size, STRIDE)
        if dropout is not None and not 0 <= dropout < 1:
            raise ValueError(f"IResNet: expected dropout of at least 0 and below 1, received {dropout}")
        magface = variant == "magface"
        norm = (0.1, 2e-5) if magface else (0.9, 1e-5)
        self.conv1 = _conv(3, CHANNELS[0], 3)
        self.bn1, self.prelu = nn.BatchNorm2D(CHANNELS[0], *norm), PReLU(CHANNELS[0])
        channels = CHANNELS[0]
        for stage, (count, out) in enumerate(zip(UNITS[depth], CHANNELS, strict=True), 1):
            units = [Unit(channels if i == 0 else out, out, 2 if i == 0 else 1, norm) for i in range(count)]
            self.add_sublayer(f"layer{stage}", nn.Sequential(*units))
            channels = out
        self.bn2 = nn.BatchNorm2D(channels, *norm)
        self.dropout = nn.Dropout2D(0.4 if dropout is None else dropout) if magface else nn.Dropout(dropout or 0.0)
        self.map_shape = (channels, input_size[0] // STRIDE, input_size[1] // STRIDE)
        self.fc = nn.Linear(math.prod(self.map_shape), embedding_size)
        self.features = FixedScale(embedding_size, *norm, weight_attr=paddle.ParamAttr(trainable=False))
        self.out_channels, self.input_size = [embedding_size], (input_size[0], input_size[1])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor | tuple[paddle.Tensor, paddle.Tensor]:
        check_picture_size("IResNet", x, self.input_size)
        x = norm_act(self.conv1(x), self.bn1, self.prelu, None)
        last = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = norm_act(last, self.bn2, nn.Identity(), 1.0)
        embedding = self.features(self.fc(self.dropout(x).flatten(1)))
        return (embedding, last) if self.keeps_map else embedding


class Unit(nn.Layer):
    """shortcut(x) + BN(3x3(PReLU(BN(3x3(BN(x)))))), with the stride in the second convolution."""

    def __init__(self, channels: int, out: int, stride: int, norm: tuple[float, float]):
        super().__init__()
        self.bn1 = nn.BatchNorm2D(channels, *norm)
        self.conv1 = _conv(channels, out, 3)
        self.bn2, self.prelu = nn.BatchNorm2D(out, *norm), PReLU(out)
        self.conv2 = _conv(out, out, 3, stride)
        self.bn3 = nn.BatchNorm2D(out, *norm)
        self.downsample = NormActSequential(_conv(channels, out, 1, stride), nn.BatchNorm2D(out, *norm)) if stride > 1 else None

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.conv1(norm_act(x, self.bn1, nn.Identity(), 1.0))
        y = self.conv2(norm_act(y, self.bn2, self.prelu, None))
        return shortcut + norm_act(y, self.bn3, nn.Identity(), 1.0)


class FixedScale(nn.BatchNorm1D):
    """Batch norm of an (N, D) embedding whose weight is not trained.

    The bias is added behind the operator, as Paddle's operator gives it no gradient where the weight gets none.
    """

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        assert self.bias is not None
        still = paddle.zeros_like(self.bias)
        scaled = F.batch_norm(
            x, self._mean, self._variance, self.weight, still, self.training, momentum=self._momentum, epsilon=self._epsilon
        )
        return scaled + self.bias


def _conv(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2D:
    return convolution(channels, out, kernel, stride, 1, paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, 0.1)))
