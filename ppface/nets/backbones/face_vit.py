"""FaceViT: the vision transformers of InsightFace and PLSC for face recognition."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.picture_size import check_picture_size

SIZES = {"tiny": (256, 12), "small": (512, 12), "base": (512, 24), "large": (768, 24)}  # width, blocks
PATCH, HEADS, RATIO = 9, 8, 4


@register("backbone")
class FaceViT(nn.Layer):
    """Vision transformer, Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, section 3.1, without class token, as in
    https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch (backbones/vit.py): patches of 9x9 pixels, ReLU6 in the
    blocks, and an embedding from all tokens at once. In training, a share of the tokens is left out of the blocks and replaced by a learned
    one behind them, as He et al. 2022, https://arxiv.org/abs/2111.06377, section 3; InsightFace's code leaves out 0.1 where it is
    configured otherwise. Pixels at the right and at the bottom that fill no patch are unused: 4 of 112.

    Args:
        variant: width and number of blocks: 256 and 12, 512 and 12, 512 and 24, 768 and 24.
        embedding_size: D.
        drop_path: probability that a picture skips the last branch, Huang et al. 2016, https://arxiv.org/abs/1603.09382, equation 4;
            it rises linearly from 0 at the first block.
        mask_ratio: share of the tokens that are left out in training.
        input_size: (height, width) in pixels, at least 9.

    Shape:
        (N, 3, *input_size) -> (N, embedding_size), before L2 normalisation

    Raises:
        ValueError: an embedding_size below 1, an input_size below 9, or a drop_path or mask_ratio that is not at least 0 and below 1.
        DataError: pictures of another size.
    """

    any_size = False

    def __init__(
        self,
        variant: Literal["tiny", "small", "base", "large"] = "tiny",
        embedding_size: int = 512,
        drop_path: float = 0.1,
        mask_ratio: float = 0.1,
        input_size: tuple[int, int] = (112, 112),
    ):
        super().__init__()
        if embedding_size < 1:
            raise ValueError(f"FaceViT: expected embedding_size of at least 1, received {embedding_size}")
        if min(input_size) < PATCH:
            raise ValueError(f"FaceViT: expected an input_size of at least {PATCH}, received {list(input_size)}")
        for name, value in (("drop_path", drop_path), ("mask_ratio", mask_ratio)):
            if not 0 <= value < 1:
                raise ValueError(f"FaceViT: expected {name} of at least 0 and below 1, received {value}")
        width, depth = SIZES[variant]
        tokens = (input_size[0] // PATCH) * (input_size[1] // PATCH)
        self.kept = int(tokens * (1 - mask_ratio))
        if self.kept < 1:
            raise ValueError(f"FaceViT: expected a mask_ratio that leaves a token of {tokens}, received {mask_ratio}")
        self.patch_embed = nn.Layer()
        self.patch_embed.proj = nn.Conv2D(3, width, PATCH, PATCH)
        self.pos_embed = self.create_parameter(
            [1, tokens, width], attr=paddle.ParamAttr(regularizer=paddle.regularizer.L2Decay(0.0)), default_initializer=_small()
        )
        self.mask_token = self.create_parameter([1, 1, width], default_initializer=nn.initializer.Normal(0.0, 0.02))
        rates = [drop_path * i / (depth - 1) for i in range(depth)]
        self.blocks = nn.LayerList([Block(width, rate) for rate in rates])
        self.norm = nn.LayerNorm(width, epsilon=1e-5)
        self.feature = nn.Sequential(
            nn.Linear(width * tokens, width, weight_attr=_attr(), bias_attr=False),
            nn.BatchNorm1D(width, epsilon=2e-5),
            nn.Linear(width, embedding_size, weight_attr=_attr(), bias_attr=False),
            nn.BatchNorm1D(embedding_size, epsilon=2e-5),
        )
        self.out_channels, self.input_size = [embedding_size], (input_size[0], input_size[1])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        check_picture_size("FaceViT", x, self.input_size)
        x = self.patch_embed.proj(x).flatten(2).transpose([0, 2, 1]) + self.pos_embed
        masks = self.training and self.kept < x.shape[1]
        if masks:
            order = paddle.rand(x.shape[:2]).argsort(axis=1)
            x = paddle.take_along_axis(x, order[:, : self.kept].unsqueeze(2), axis=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x.astype("float32"))
        if masks:
            token = self.mask_token.expand([x.shape[0], order.shape[1] - self.kept, x.shape[2]])
            x = paddle.take_along_axis(paddle.concat([x, token], axis=1), order.argsort(axis=1).unsqueeze(2), axis=1)
        return self.feature(x.flatten(1))


class Block(nn.Layer):
    """x + attention(norm1(x)), then x + mlp(norm2(x)); each branch is skipped with probability `drop`."""

    def __init__(self, width: int, drop: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, epsilon=1e-5), nn.LayerNorm(width, epsilon=1e-5)
        self.attn, self.mlp, self.drop = Attention(width), Mlp(width), drop

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = x + self._some(self.attn(self.norm1(x)))
        return x + self._some(self.mlp(self.norm2(x)))

    def _some(self, branch: paddle.Tensor) -> paddle.Tensor:
        """0 for some pictures, in training; the others are scaled up, so that the mean stays."""
        if not self.training or self.drop == 0:
            return branch
        stays = (paddle.rand([branch.shape[0], 1, 1]) >= self.drop).astype(branch.dtype)
        return branch * stays / (1 - self.drop)


class Attention(nn.Layer):
    """Multi-head self-attention, Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 1, in float32."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, weight_attr=_attr(), bias_attr=False)
        self.proj = nn.Linear(width, width, weight_attr=_attr())
        self.scale = (width // HEADS) ** -0.5

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        tokens, width = x.shape[1:]
        parts = self.qkv(x).reshape([0, tokens, 3, HEADS, width // HEADS]).transpose([2, 0, 3, 1, 4])
        with paddle.amp.auto_cast(enable=False):
            q, k, v = (part.astype("float32") for part in (parts[0], parts[1], parts[2]))
            weights = F.softmax(paddle.matmul(q, k, transpose_y=True) * self.scale, axis=-1)
            x = paddle.matmul(weights, v).transpose([0, 2, 1, 3]).reshape([0, tokens, width])
        return self.proj(x)


class Mlp(nn.Layer):
    """Two linear layers with ReLU6 between them; the inner one is four times as wide."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, RATIO * width, weight_attr=_attr()), nn.Linear(RATIO * width, width, weight_attr=_attr())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc2(F.relu6(self.fc1(x)))


def _small() -> nn.initializer.Initializer:
    return nn.initializer.TruncatedNormal(0.0, 0.02)


def _attr() -> paddle.ParamAttr:
    return paddle.ParamAttr(initializer=_small())
