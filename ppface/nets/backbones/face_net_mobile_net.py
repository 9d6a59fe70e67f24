"""FaceNetMobileNet: MobileNetV1 with average pooling and a linear embedding, for FaceNet's triplet loss."""

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.channel_means import channel_means
from ppface.nets.layers.mobile_stages import PYTORCH_NAMES, mobile_stages


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

    published_names = PYTORCH_NAMES

    def __init__(self, embedding_size: int = 128, dropout: float = 0.5):
        super().__init__()
        if embedding_size < 1:
            raise ValueError(f"FaceNetMobileNet: expected embedding_size of at least 1, received {embedding_size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"FaceNetMobileNet: expected dropout of at least 0 and below 1, received {dropout}")
        (self.stage1, self.stage2, self.stage3), channels = mobile_stages(1.0, "relu6")
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(channels[-1], embedding_size, bias_attr=False)
        self.last_bn = nn.BatchNorm1D(embedding_size, epsilon=1e-3)
        self.out_channels = [embedding_size]

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.last_bn(self.last_linear(self.dropout(channel_means(x).flatten(1))))
