"""FaceModel: input, backbone, neck and head, for every task."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import paddle
from paddle import nn

from ppface.core.registry import Kind, register
from ppface.ops.resize import TestSize


class Input(nn.Layer):
    """What enters the network: raw RGB pixels, which it casts and normalises as (x - mean) / std.

    Args:
        size: (height, width) in pixels of training batches.
        mean: of red, green, blue, on 0..255 values.
        std: of red, green, blue, on 0..255 values, > 0.
        test: at which size pictures are tested; None means stretched to `size`.

    Shape:
        (N, 3, H, W) uint8 or float RGB in 0..255 -> (N, 3, H, W) float32

    Raises:
        ValueError: a size below 1, not three means and deviations, or a deviation that is not positive.
    """

    def __init__(self, size: tuple[int, int], mean: list[float], std: list[float], test: TestSize | None = None):
        super().__init__()
        if min(size) < 1:
            raise ValueError(f"Input: expected size: [height, width] of at least 1, received {size}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"Input: expected three means and three std above 0 (red, green, blue), received mean={mean}, std={std}")
        self.size = (size[0], size[1])
        self.test = test or TestSize("stretch", self.size)
        # not persistable: they belong to the configuration, and published weights do not hold them
        self.register_buffer("mean", paddle.to_tensor(mean, "float32").reshape([1, 3, 1, 1]), persistable=False)
        self.register_buffer("std", paddle.to_tensor(std, "float32").reshape([1, 3, 1, 1]), persistable=False)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        return (image.astype("float32") - self.mean) / self.std


@register("model")
class FaceModel(nn.Layer):
    """The one model class of ppface: input -> backbone -> neck? -> head, the parts that Bochkovskiy et al. 2020 name,
    https://arxiv.org/abs/2004.10934, section 2.1.

    Args:
        input: size and normalisation.
        backbone: (N, 3, H, W) -> features; says its `out_channels`, and `any_size = False` and `input_size` where it takes pictures
            of one size alone.
        head: made with `in_channels`, called with the features and the batch keys it names in `takes`.
        neck: made with `in_channels`, features -> features; says its `out_channels`.
        post: from the head's outputs to what a user wants of a picture (faces); part of what is evaluated and exported.

    Shape:
        {"image": (N, 3, H, W) uint8, ...} -> dict of the head's outputs

    Raises:
        ValueError: a backbone of one picture size alone, its `input_size`, that is not the input's.
    """

    def __init__(
        self,
        input: Input,
        backbone: Annotated[nn.Layer, Kind("backbone")],
        head: Annotated[Callable[..., nn.Layer], Kind("head")],
        neck: Annotated[Callable[..., nn.Layer], Kind("neck")] | None = None,
        post: Annotated[nn.Layer, Kind("post")] | None = None,
    ):
        super().__init__()
        _check_size(input, backbone)
        self.input, self.backbone, self.post = input, backbone, post
        self.neck = neck(in_channels=backbone.out_channels) if neck else None
        self.head = head(in_channels=(self.neck or backbone).out_channels)

    def forward(self, batch: dict) -> dict[str, paddle.Tensor]:
        features = self.backbone(self.input(batch["image"]))
        if self.neck is not None:
            features = self.neck(features)
        named = getattr(self.head, "outputs", self.head)  # called by themselves some heads return no mapping
        return named(features, *(batch.get(key) for key in self.head.takes))

    def infer(self, image: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """(N, 3, H, W) RGB 0..255 -> what is evaluated and exported: what `post` makes of the outputs, else the outputs."""
        outputs = self({"image": image})
        return outputs if self.post is None else self.post(outputs)

    @property
    def any_size(self) -> bool:
        """Whether pictures of any size may enter, or those of `input.size` alone."""
        return getattr(self.backbone, "any_size", True)

    def predictor(self) -> "Predictor":
        """This model as evaluators see it."""
        return Predictor(self)


def _check_size(input: Input, backbone: nn.Layer) -> None:
    made_for = getattr(backbone, "input_size", input.size)
    if not getattr(backbone, "any_size", True) and tuple(made_for) != input.size:
        who, one, other = type(backbone).__name__, list(made_for), list(input.size)
        raise ValueError(
            f"expected model.backbone.input_size and model.input.size to be the same, received {one} and {other}: "
            f"{who} takes pictures of one size alone; write that size at both"
        )


class Predictor:
    """A live model as `predict(batch) -> named arrays`, the same face that an exported model shows.

    Attributes:
        test_size: the model's own test policy.
    """

    def __init__(self, model: FaceModel):
        self.model, self.test_size = model, model.input.test

    def outputs(self) -> list[str]:
        """The names of what it answers, found by asking once for an empty picture."""
        return sorted(self({"image": np.zeros([1, 3, *self.model.input.size], np.uint8)}))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{"image": (N, 3, H, W) uint8} -> arrays by name; in evaluation mode, afterwards as before."""
        training = self.model.training
        self.model.eval()
        with paddle.no_grad():
            arrays = {name: value.numpy() for name, value in self.model.infer(paddle.to_tensor(batch["image"])).items()}
        if training:
            self.model.train()
        return arrays
