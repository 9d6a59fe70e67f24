"""Softmax: plain linear logits of an embedding."""

import math

import paddle
from paddle import nn

from ppface.core.registry import register
from ppface.nets.layers.margin import ClassNum, InChannels, check_sizes, labels_of


@register("head")
class Softmax(nn.Layer):
    """Linear classification, logits = w . x + b, as the softmax baseline of Deng et al. 2019, https://arxiv.org/abs/1801.07698, equation 1.

    Args:
        embedding_size: D.
        class_num: C, number of identities; None: no class centres, only embeddings.

    Shape:
        embedding (N, D), label (N,) int64 -> logits (N, C); no label: {"embedding": (N, D), "norm": (N, 1)}

    Raises:
        ValueError: sizes below 1, or an embedding_size other than the backbone's.
        DataError: a label outside 0..class_num-1, labels that are not integers, or a number of labels other than N.
    """

    takes = ("label",)
    training_only = True

    def __init__(self, embedding_size: int, class_num: ClassNum = None, in_channels: InChannels = None):
        super().__init__()
        self.embedding_size, self.class_num = embedding_size, class_num
        check_sizes("Softmax", embedding_size, class_num, in_channels)
        if class_num is not None:
            self.kernel = self.create_parameter(
                [embedding_size, class_num], default_initializer=nn.initializer.Normal(0.0, 1 / math.sqrt(embedding_size))
            )
            self.bias = self.create_parameter([class_num], is_bias=True)

    def forward(self, embedding: paddle.Tensor, label: paddle.Tensor | None = None):
        outputs = self.outputs(embedding, label)
        return outputs if label is None else outputs["logits"]

    def outputs(self, embedding: paddle.Tensor, label: paddle.Tensor | None) -> dict:
        """The outputs of `forward`, by name."""
        with paddle.amp.auto_cast(enable=False):
            embedding = embedding.astype("float32")
            if label is None:
                return {"embedding": embedding, "norm": paddle.sqrt((embedding * embedding).sum(axis=1, keepdim=True))}
            labels_of("Softmax", label, embedding.shape[0], self.class_num)
            return {"embedding": embedding, "logits": paddle.matmul(embedding, self.kernel) + self.bias}
