"""FaceNetMobileNet: MobileNetV1 with average pooling and a linear embedding, for FaceNet's triplet loss."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers import ConvBN

STAGES = (  # Howard et al. 2017, table 1: (channels, stride) of every depthwise separable block
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    ((512, 2), *[(512, 1)] * 5),
    ((1024, 2), (1024, 1)),
)


@register("backbone")
class FaceNetMobileNet(nn.Layer):
    """The embedding network of FaceNet, Schroff et al. 2015, https://arxiv.org/abs/1503.03832, section 3.3, with MobileNetV1, Howard et al.
    2017, https://arxiv.org/abs/1704.04861, table 1, and ReLU6, as in https://github.com/bubbliiiing/facenet-pytorch (nets/facenet.py).

    Args:
        embedding_size: D.
        dropout: probability before the linear layer.

    Shape:
        (N, 3, H, W) -> (N, embedding_size), before L2 normalisation; 160x160 as published

    Raises:
        ValueError: an embedding_size below 1, or a dropout that is not at least 0 and below 1.
    """

    published_names = (  # bubbliiiing/facenet-pytorch, as in `backbone.stage1.1.0.weight` -> ppface
        (r"^backbone\.stage1\.0\.0\.", "backbone.stage1.0.conv."),
        (r"^backbone\.stage1\.0\.1\.", "backbone.stage1.0.norm."),
        (r"^(backbone\.stage\d\.\d)\.0\.", r"\1.depthwise.conv."),
        (r"^(backbone\.stage\d\.\d)\.1\.", r"\1.depthwise.norm."),
        (r"^(backbone\.stage\d\.\d)\.3\.", r"\1.pointwise.conv."),
        (r"^(backbone\.stage\d\.\d)\.4\.", r"\1.pointwise.norm."),
    )

    def __init__(self, embedding_size: int = 128, dropout: float = 0.5):
        super().__init__()
        if embedding_size < 1:
            raise ValueError(f"FaceNetMobileNet: expected embedding_size of at least 1, received {embedding_size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"FaceNetMobileNet: expected dropout of at least 0 and below 1, received {dropout}")
        layers: list[nn.Layer] = [ConvBN(3, 32, 3, 2, act="relu6")]
        channels = 32
        for stage, blocks in enumerate(STAGES, 1):
            for out, stride in blocks:
                depthwise = ConvBN(channels, channels, 3, stride, groups=channels, act="relu6")
                layers.append(nn.Sequential(("depthwise", depthwise), ("pointwise", ConvBN(channels, out, 1, act="relu6"))))
                channels = out
            self.add_sublayer(f"stage{stage}", nn.Sequential(*layers))
            layers = []
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(channels, embedding_size, bias_attr=False)
        self.last_bn = nn.BatchNorm1D(embedding_size, epsilon=1e-3)
        self.out_channels = [embedding_size]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.last_bn(self.last_linear(self.dropout(x.mean(axis=[2, 3]))))
