"""LandmarkHead: the landmarks of a cropped face, and, in training, its pose."""

from typing import Annotated

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import Supplied, register
from ppface.nets.layers import ConvBN
from ppface.nets.layers.channel_means import channel_means

SMALLEST_MAP = 17  # pixels, from which the convolutions of PoseNet leave one


@register("head")
class LandmarkHead(nn.Layer):
    """Head of PFLD, Guo et al. 2019, https://arxiv.org/abs/1902.10859, section 3.2: one linear layer over the means of the feature maps,
    and the auxiliary network, which predicts the pose in training and is in no export.

    Args:
        in_channels: channels of the feature maps; the first one is that of the auxiliary network.
        points: landmarks of a face, >= 1.
        pose: build the auxiliary network.

    Shape:
        list of (N, C, H, W), image (N, 3, height, width) -> {"landmarks": (N, points, 2) x, y in pixels of `image`}, in training with
        `pose` also "pose": (N, 3) pitch, yaw, roll in radians

    Raises:
        ValueError: no point, or fewer than two feature maps.
    """

    takes = ("image",)

    def __init__(self, in_channels: Annotated[list[int], Supplied("by the neck or backbone")], points: int = 68, pose: bool = True):
        super().__init__()
        if points < 1 or len(in_channels) < 2:
            raise ValueError(f"LandmarkHead: expected points >= 1 and two or more feature maps, received {points=}, {in_channels=}")
        self.points = points
        # all points start in the middle: usual weights would spread them beyond the picture, which takes hundreds of steps to unlearn
        small = paddle.ParamAttr(initializer=nn.initializer.Normal(std=0.001))
        centre = paddle.ParamAttr(initializer=nn.initializer.Constant(0.5))
        self.linear = nn.Linear(sum(in_channels[1:]), 2 * points, weight_attr=small, bias_attr=centre)
        self.pose = PoseNet(in_channels[0]) if pose else None
        self.out_channels = list(in_channels)

    def forward(self, features: list[paddle.Tensor], image: paddle.Tensor) -> dict[str, paddle.Tensor]:
        means = paddle.concat([channel_means(feature).flatten(1) for feature in features[1:]], axis=1)
        shape = paddle.shape(image)
        size = paddle.concat([shape[3:], shape[2:3]]).astype("float32")  # width, height; paddle2onnx aborts at `flip`
        outputs = {"landmarks": self.linear(means).reshape([-1, self.points, 2]) * size}
        if self.training and self.pose is not None:
            outputs["pose"] = self.pose(features[0])
        return outputs


class PoseNet(nn.Layer):
    """The auxiliary network of PFLD, table 3 of the paper: four convolutions, max pooling, two linear layers without activation between.

    Shape:
        (N, C, H, W), both sides at least 17 -> (N, 3) pitch, yaw, roll in radians

    Raises:
        UserError: smaller maps.
    """

    training_only = True
    published_names = (  # PFLD-pytorch's auxiliarynet, as in `head.pose.conv1.0.weight` -> ppface
        (r"^head\.pose\.conv1\.([01])\.", r"head.pose.convs.0.\1."),
        (r"^head\.pose\.conv2\.([01])\.", r"head.pose.convs.1.\1."),
        (r"^head\.pose\.conv3\.([01])\.", r"head.pose.convs.2.\1."),
        (r"^(head\.pose\.convs\.\d)\.0\.", r"\1.conv."),
        (r"^(head\.pose\.convs\.\d)\.1\.", r"\1.norm."),
        (r"^head\.pose\.conv4\.0\.", "head.pose.wide."),
        (r"^head\.pose\.conv4\.1\.", "head.pose.norm."),
        (r"^head\.pose\.fc([12])\.", r"head.pose.linear\1."),
    )

    def __init__(self, channels: int):
        super().__init__()
        self.convs = nn.Sequential(ConvBN(channels, 128, 3, 2), ConvBN(128, 128, 3), ConvBN(128, 32, 3, 2))
        self.wide, self.norm = nn.Conv2D(32, 128, 7, padding=1, bias_attr=False), nn.BatchNorm2D(128)
        self.linear1, self.linear2 = nn.Linear(128, 32), nn.Linear(32, 3)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if min(x.shape[2:]) < SMALLEST_MAP:
            needs = f"a first feature map of at least {SMALLEST_MAP}x{SMALLEST_MAP}, received {x.shape[2]}x{x.shape[3]}"
            raise UserError(f"LandmarkHead: pose: true needs {needs}: use a larger model.input.size, or model.head.pose=false")
        x = F.relu(self.norm(self.wide(self.convs(x))))
        x = F.max_pool2d(x, kernel_size=min(x.shape[2:])).flatten(1)
        return self.linear2(self.linear1(x))
