"""FaceModel: input, backbone, neck and head, for every task."""

import hashlib
import inspect
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import paddle
from paddle import nn

from ppface.core.registry import Kind, nearest, register
from ppface.nets.layers.fast import eager_on_cpu
from ppface.nets.single_values import single_value_norms
from ppface.ops.cpu.standardize import standardize, supports
from ppface.ops.resize import TestSize


class Input(nn.Layer):
    """What enters the network: raw RGB pixels, which it casts and normalises as (x - mean) / std.

    Args:
        size: (height, width) in pixels of training batches.
        mean: of red, green, blue, on 0..255 values.
        std: of red, green, blue, on 0..255 values, > 0.
        order: of the channels that the backbone gets, "RGB" or, as many public weights need, "BGR"; pixels always enter as RGB.
        test: at which size pictures are tested; None means stretched to `size`.

    Shape:
        (N, 3, H, W) uint8 or float RGB in 0..255 -> (N, 3, H, W) float32 in `order`

    Raises:
        ValueError: a size below 1, not three means and deviations, or a deviation that is not positive.
    """

    def __init__(
        self,
        size: tuple[int, int],
        mean: list[float],
        std: list[float],
        test: TestSize | None = None,
        order: Literal["RGB", "BGR"] = "RGB",
    ):
        super().__init__()
        if min(size) < 1:
            raise ValueError(f"Input: expected size: [height, width] of at least 1, received {size}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"Input: expected three means and three std above 0 (red, green, blue), received mean={mean}, std={std}")
        self.size, self.order = (size[0], size[1]), order
        self.test = test or TestSize("stretch", self.size)
        # not persistable: they belong to the configuration, and published weights do not hold them
        self.register_buffer("mean", paddle.to_tensor(mean, "float32").reshape([1, 3, 1, 1]), persistable=False)
        self.register_buffer("std", paddle.to_tensor(std, "float32").reshape([1, 3, 1, 1]), persistable=False)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        if eager_on_cpu(image) and supports(image):
            return standardize(image, self.mean, self.std, reverse=self.order == "BGR")
        normalised = (image.astype("float32") - self.mean) / self.std
        return normalised if self.order == "RGB" else paddle.concat([normalised[:, 2:], normalised[:, 1:2], normalised[:, :1]], axis=1)


@register("model")
class FaceModel(nn.Layer):
    """The one model class of ppface: input -> backbone -> neck? -> head, the parts that Bochkovskiy et al. 2020 name,
    https://arxiv.org/abs/2004.10934, section 2.1.

    Args:
        input: size and normalisation.
        backbone: (N, 3, H, W) -> features; has `out_channels`, and `any_size = False` and `input_size` where it takes pictures of one
            size alone.
        head: built with `in_channels`, and with `input` and `backbone` if its constructor has them; called with the features and the
            batch keys listed in its `takes`.
        neck: built likewise, features -> features; has `out_channels`, and may have `takes` too.
        freeze: dotted names of parts (`backbone`, `backbone.stage1`) that are not trained: no gradient, batch norm statistics fixed,
            dropout off, not in the optimizer.
        post: from the head's outputs to what a user wants of a picture (faces); part of what is evaluated and exported.

    Shape:
        {"image": (N, 3, H, W) uint8, ...} -> dict of the head's outputs; in training with `keeps_levels` also "levels" and "features",
        lists of the neck's maps before and after its context modules

    Raises:
        ValueError: a backbone of one picture size alone, its `input_size`, that is not the input's; a name in `freeze` that the model
            does not have, or nothing left to train.
    """

    def __init__(
        self,
        input: Input,
        backbone: Annotated[nn.Layer, Kind("backbone")],
        head: Annotated[Callable[..., nn.Layer], Kind("head")],
        neck: Annotated[Callable[..., nn.Layer], Kind("neck")] | None = None,
        post: Annotated[nn.Layer, Kind("post")] | None = None,
        freeze: list[str] | None = None,
    ):
        super().__init__()
        _check_size(input, backbone)
        self.input, self.backbone, self.post = input, backbone, post
        self.keeps_levels = False  # set by a loss that passes changed levels through the rest of the model again
        self.neck = _part(neck, input, backbone, backbone.out_channels) if neck else None
        self.head = _part(head, input, backbone, (self.neck or backbone).out_channels)
        self._frozen: list[str] = []
        self._freeze(freeze or [])

    def forward(self, batch: dict) -> dict[str, paddle.Tensor]:
        kept: dict = {}
        if self.neck is not None and self.keeps_levels and self.training:
            levels = self.neck.levels(self.backbone(self.input(batch["image"])))
            features = self.neck.in_context(levels)
            kept = {"levels": levels, "features": features}
        else:
            features = self.features(batch)
        named = getattr(self.head, "outputs", self.head)  # called by themselves some heads return no mapping
        return {**named(features, *(batch.get(key) for key in self.head.takes)), **kept}

    def features(self, batch: dict) -> list[paddle.Tensor]:
        """What enters the head."""
        features = self.backbone(self.input(batch["image"]))
        if self.neck is not None:
            features = self.neck(features, *(batch.get(key) for key in getattr(self.neck, "takes", ())))
        return features

    def train(self, mode: bool = True) -> "FaceModel":
        """Training mode for all but the frozen parts, which stay in evaluation mode."""
        super().train(mode)
        self._hold_frozen()
        return self

    def _freeze(self, names: list[str]) -> None:
        parts = dict(self.named_sublayers()) | dict(self.named_parameters())
        for name in names:
            if name not in parts:
                meant = nearest(name, list(parts))
                advice = f"Did you mean '{meant}'?" if meant else f"It has {', '.join(dict(self.named_children()))} and parts of them."
                raise ValueError(f"freeze: the model has no part '{name}'. {advice}")
            part = parts[name]
            for parameter in part.parameters() if isinstance(part, nn.Layer) else [part]:
                parameter.stop_gradient = True
        if names and all(parameter.stop_gradient for parameter in self.parameters()):
            raise ValueError(f"freeze: {', '.join(names)} together are the whole model: nothing is left to train")
        self._frozen = list(names)
        self._hold_frozen()

    def _hold_frozen(self) -> None:
        for name, layer in self.named_sublayers():
            if any(name == frozen or name.startswith(f"{frozen}.") for frozen in self._frozen):
                layer.training = False

    def infer(self, image: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """(N, 3, H, W) RGB 0..255 -> what is evaluated and exported: what `post` makes of the outputs, else the outputs."""
        outputs = self({"image": image})
        return outputs if self.post is None else self.post(outputs)

    def facts(self) -> dict[str, int]:
        """Facts about the model that losses depend on."""
        size = getattr(self.head, "embedding_size", None)
        return {} if size is None else {"embedding_size": size}

    @property
    def any_size(self) -> bool:
        """Whether pictures of any size may enter, or those of `input.size` alone."""
        return getattr(self.backbone, "any_size", True)

    def single_value_norms(self, pictures: int) -> list[str]:
        """Names of the batch norm layers that get one value per channel with this number of pictures in a process."""
        return single_value_norms(self, self.input.size, pictures)

    def predictor(self) -> "Predictor":
        """This model as evaluators see it."""
        return Predictor(self)


def _part(factory: Callable[..., nn.Layer], input: nn.Layer, backbone: nn.Layer, in_channels: list[int]) -> nn.Layer:
    """A neck or head with what the model supplies; its input and its backbone where the constructor has parameters of these names."""
    wanted = inspect.signature(getattr(factory, "target", factory)).parameters
    parts = {"input": input, "backbone": backbone}
    return factory(in_channels=in_channels, **{name: part for name, part in parts.items() if name in wanted})


def _check_size(input: Input, backbone: nn.Layer) -> None:
    made_for = getattr(backbone, "input_size", input.size)
    if getattr(backbone, "any_size", True):
        return
    if input.test.mode == "letterbox" and tuple(input.test.size or ()) != input.size:
        raise ValueError(
            f"expected model.input.test.size to be that of model.input.size, {list(input.size)}, with mode 'letterbox', received "
            f"{list(input.test.size or [])}: {type(backbone).__name__} takes pictures of one size alone"
        )
    if tuple(made_for) != input.size:
        who, one, other = type(backbone).__name__, list(made_for), list(input.size)
        raise ValueError(
            f"expected model.backbone.input_size and model.input.size to be the same, received {one} and {other}: "
            f"{who} takes pictures of one size alone; write that size at both"
        )


class Predictor:
    """A live model as `predict(batch) -> named arrays`, the same face that an exported model shows.

    Attributes:
        test_size: the model's own test policy.
        score_threshold: below which the model's post-processing drops faces; None if it has no such threshold.
    """

    def __init__(self, model: FaceModel):
        self.model, self.test_size = model, model.input.test
        self.score_threshold: float | None = getattr(model.post, "score_threshold", None)

    def outputs(self) -> list[str]:
        """The names of what it answers, found by asking once for an empty picture."""
        return sorted(self({"image": np.zeros([1, 3, *self.model.input.size], np.uint8)}))

    def identity(self) -> str:
        """A digest of the layers and the values of their arrays, training-only ones left out: equal digests mean equal outputs."""
        layers = dict(self.model.named_sublayers())
        unused = tuple(f"{name}." for name, layer in layers.items() if getattr(layer, "training_only", False))
        found = hashlib.sha256(str(vars(self.test_size)).encode())
        for name, layer in layers.items():
            if not f"{name}.".startswith(unused):
                settings = {key: value for key, value in vars(layer).items() if isinstance(value, str | int | float | tuple)}
                settings = {key: value for key, value in settings.items() if key[0] != "_" and key != "training"}
                found.update(f"{name} {type(layer).__name__} {layer.extra_repr()} {settings}".encode())
        for name, value in [*self.model.named_parameters(), *self.model.named_buffers()]:
            if not name.startswith(unused):
                array = value.numpy()
                found.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        return found.hexdigest()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{"image": (N, 3, H, W) uint8} -> arrays by name; in evaluation mode, afterwards as before."""
        training = self.model.training
        self.model.eval()
        with paddle.no_grad():
            arrays = {name: value.numpy() for name, value in self.model.infer(paddle.to_tensor(batch["image"])).items()}
        if training:
            self.model.train()
        return arrays
