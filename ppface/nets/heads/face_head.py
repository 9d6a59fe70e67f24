"""FaceHead: one convolution a level for boxes, scores and landmarks of every anchor."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import paddle
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import Kind, Supplied, register
from ppface.nets.layers.conv import convolved
from ppface.ops.anchors import level_anchors

CACHED_SIZES = 16  # anchors of as many input sizes are kept


@register("head")
class FaceHead(nn.Layer):
    """Single-shot face head, Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.1, with the square anchors of BlazeFace,
    https://arxiv.org/abs/1907.05047, section 3.2; the convolutions of PaddleDetection's FaceHead, or, with `kernel_size` 1 and
    `background_first`, those of RetinaFace in https://github.com/biubug6/Pytorch_Retinaface.

    Args:
        in_channels: channels of every feature map.
        min_sizes: side lengths in pixels of the square anchors of a cell, one list a feature map.
        steps: pixels of the input a cell, one number a feature map.
        landmarks: landmarks of a face, 0 for none.
        kernel_size: of the convolutions.
        shared: one set of convolutions for all levels, as in the RetinaFace paper, https://arxiv.org/abs/1905.00641, section 4.2.
        background_first: the order of the two scores in the weights; the outputs always start with face.
        dense: a branch that training alone needs; it takes labels of the batch, adds its outputs in training, and is in no export.

    Shape:
        list of (N, C, H, W), image (N, 3, height, width) -> {"boxes": (N, A, 4) offsets, "logits": (N, A, 2) face and background,
        "anchors": (A, 4) centre x, y, width, height over the size of `image`, "size": (2,) int height and width,
        "landmarks": (N, A, landmarks, 2) offsets if any}; anchors go by level, row, column, min_size

    Raises:
        ValueError: not as many `min_sizes` and `steps` as feature maps, an empty, repeated or non-positive entry,
            or negative `landmarks`; `dense` without five landmarks; `shared` with levels of different channels or numbers of anchors.
        UserError: in the first forward, `steps` that do not fit the sizes of the feature maps: anchors would lie beside their cells.
    """

    takes = ("image",)
    classes = ("face",)
    published_names = (  # PaddleDetection -> ppface
        (r"^blaze_head\.(boxes|scores)(\d+)\.", r"head.\1.\2."),
        # Pytorch_Retinaface
        (r"^BboxHead\.(\d)\.conv1x1\.", r"head.boxes.\1."),
        (r"^ClassHead\.(\d)\.conv1x1\.", r"head.scores.\1."),
        (r"^LandmarkHead\.(\d)\.conv1x1\.", r"head.landmarks.\1."),
    )

    def __init__(
        self,
        in_channels: Annotated[list[int], Supplied("by the neck or backbone")],
        min_sizes: list[list[float]],
        steps: list[int],
        landmarks: int = 0,
        kernel_size: Literal[1, 3] = 3,
        shared: bool = False,
        background_first: bool = False,
        dense: Annotated[Callable[..., nn.Layer], Kind("branch", "DenseRegression")] | None = None,
    ):
        super().__init__()
        if not 0 < len(min_sizes) == len(steps) == len(in_channels):
            raise ValueError(
                f"FaceHead: expected min_sizes and steps for each of {len(in_channels)} feature maps, "
                f"received {len(min_sizes)} min_sizes and {len(steps)} steps"
            )
        if any(not sizes or not all(0 < size < math.inf for size in sizes) or len(set(sizes)) != len(sizes) for sizes in min_sizes):
            raise ValueError(f"FaceHead: expected min_sizes to hold different numbers above 0 for every level, received {min_sizes}")
        if min(steps) < 1 or landmarks < 0:
            raise ValueError(f"FaceHead: expected steps >= 1 and landmarks >= 0, received steps={steps}, landmarks={landmarks}")
        self.min_sizes, self.steps, self.landmark_count = min_sizes, steps, landmarks
        self.background_first = background_first
        counts = [len(sizes) for sizes in min_sizes]
        made = list(zip(in_channels, counts, strict=True))
        if shared and len(set(made)) > 1:
            raise ValueError(
                "FaceHead: expected shared convolutions to have the same channels and number of min_sizes on every level, "
                f"received in_channels={list(in_channels)} and {counts} min_sizes"
            )

        def convolutions(width: int) -> nn.LayerList:
            levels = made[:1] if shared else made
            return nn.LayerList([nn.Conv2D(c, k * width, kernel_size, padding=kernel_size // 2) for c, k in levels])

        self.boxes, self.scores = convolutions(4), convolutions(2)
        self.landmarks = convolutions(2 * landmarks) if landmarks else None
        self.out_channels = list(in_channels)
        if dense and landmarks != 5:
            raise ValueError(f"FaceHead: expected landmarks=5 with dense, received landmarks={landmarks}")
        self.dense = dense(in_channels=list(in_channels), counts=counts, shared=shared) if dense else None
        if self.dense is not None:
            self.takes = (*FaceHead.takes, *self.dense.takes)
        self._cache: dict[tuple, paddle.Tensor] = {}

    def forward(self, features: list[paddle.Tensor], image: paddle.Tensor, *labels: Any) -> dict[str, paddle.Tensor]:
        kinds = [self.boxes, self.scores] + ([self.landmarks] if self.landmarks is not None else [])
        boxes, scores, *landmarks = zip(*_convolved(kinds, features, self.training), strict=True)
        outputs = {
            "boxes": _rows(boxes, 4),
            "logits": self._face_first(_rows(scores, 2)),
            "anchors": self._anchors([image, *scores]),  # asked for its size, oneDNN copies a tensor: these are smaller than `features`
            "size": paddle.shape(image)[2:],
        }
        if self.landmarks is not None:
            outputs["landmarks"] = _rows(landmarks[0], 2 * self.landmark_count).reshape([0, -1, self.landmark_count, 2])
        if self.training and self.dense is not None:
            outputs |= self.dense(features, image, outputs["anchors"], *labels)
        return outputs

    def logits(self, features: list[paddle.Tensor]) -> paddle.Tensor:
        """Of the outputs only the scores: (N, A, 2) face and background."""
        return self._face_first(_rows([scores for (scores,) in _convolved([self.scores], features, self.training)], 2))

    def _face_first(self, logits: paddle.Tensor) -> paddle.Tensor:
        return paddle.concat([logits[..., 1:], logits[..., :1]], axis=-1) if self.background_first else logits

    def _anchors(self, inputs: list[paddle.Tensor]) -> paddle.Tensor:
        """Anchors for the image and the levels in `inputs`: remembered in dynamic mode, computed inside the graph in static mode."""
        if paddle.in_dynamic_mode():
            return self._remembered(inputs)
        return self._computed(inputs)

    def _remembered(self, inputs: list[paddle.Tensor]) -> paddle.Tensor:
        key = tuple(tuple(tensor.shape[2:]) for tensor in inputs)
        if key not in self._cache:
            if len(self._cache) >= CACHED_SIZES:
                self._cache.clear()
            self._check_steps(*key)
            self._cache[key] = self._computed(inputs)
        return self._cache[key]

    def _check_steps(self, image: tuple[int, int], *maps: tuple[int, int]) -> None:
        expected = [tuple(-(-side // step) for side in image) for step in self.steps]
        if any(abs(have - want) > 1 for got, wanted in zip(maps, expected, strict=True) for have, want in zip(got, wanted, strict=True)):
            raise UserError(
                f"FaceHead: steps={list(self.steps)} do not fit the network: for pictures of {image[0]}x{image[1]} they expect feature "
                f"maps of {_listed(expected)}, received {_listed(maps)}; steps are the strides of the feature maps"
            )

    def _computed(self, inputs: list[paddle.Tensor]) -> paddle.Tensor:
        sizes = [paddle.shape(tensor)[2:] for tensor in inputs]
        return level_anchors(sizes[1:], sizes[0], self.steps, self.min_sizes)


def _convolved(kinds: list[nn.LayerList], features: list[paddle.Tensor], training: bool) -> list[list[paddle.Tensor]]:
    """For every level the outputs of each kind; a single convolution is shared by all levels."""
    levels = [[kind[i % len(kind)] for kind in kinds] for i in range(len(features))]
    if training:
        return [_at_once(level, feature) for level, feature in zip(levels, features, strict=True)]
    return [[convolution(feature) for convolution in level] for level, feature in zip(levels, features, strict=True)]


def _at_once(convolutions: list[nn.Layer], feature: paddle.Tensor) -> list[paddle.Tensor]:
    """The outputs of several convolutions of one input, computed as one: in two thirds of the time."""
    weight, bias = (paddle.concat([getattr(c, name) for c in convolutions]) for name in ("weight", "bias"))
    return convolved(feature, weight, bias).split([c.weight.shape[0] for c in convolutions], axis=1)


def _listed(sizes: Iterable[tuple[int, ...]]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in sizes)


def _rows(maps: Sequence[paddle.Tensor], width: int) -> paddle.Tensor:
    """Lays the maps of all levels out as (N, A, width)."""
    return paddle.concat([x.transpose([0, 2, 3, 1]).reshape([0, -1, width]) for x in maps], axis=1)
