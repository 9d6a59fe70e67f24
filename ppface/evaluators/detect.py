"""Runs a detector on pictures of any size: resizes, batches, predicts, and maps the boxes back to pixels of the original."""

from collections.abc import Callable, Iterator

import numpy as np

from ppface.data.pictures.picture import Picture
from ppface.ops.boxes import clip
from ppface.ops.resize import TestSize, resize

Predict = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def detect(
    predict: Predict,
    picture: Callable[[int], Picture],
    count: int,
    size: TestSize | None = None,
    augmented: Callable | None = None,
    batch_size: int = 1,
) -> list[np.ndarray]:
    """The faces of `count` pictures. Pictures that are tested at the same size share a batch, in any order.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"boxes": (M, 4) in pixels of `image`, "scores": (M,), "count": (N,)}.
        picture: i -> picture number i; called again for each use, so that few pictures are in memory.
        size: size at which a picture is tested; None: `predict.test_size`, or the original size without it.
        augmented: a component of kind "augmented_test"; it processes one picture at a time.
        batch_size: pictures per call of `predict`, > 0.

    Shape:
        for each picture (M, 5): x1, y1, x2, y2 in pixels of the original picture, within it, and score
    """
    size = size or getattr(predict, "test_size", None) or TestSize()
    found: list[np.ndarray] = [np.zeros((0, 5))] * count
    for indices in _batches(picture, count, size, 1 if augmented else batch_size):
        images = [picture(i).decode() for i in indices]
        target = size.of(*images[0].shape[:2])
        faces = [augmented(predict, images[0], target)] if augmented else run(predict, images, target)
        for i, image, rows in zip(indices, images, faces, strict=True):
            cut = np.concatenate([clip(rows[:, :4], image.shape[:2]), rows[:, 4:]], axis=1)
            found[i] = cut[(cut[:, 2:4] > cut[:, :2]).all(axis=1)]  # drops boxes completely outside the picture
    return found


def run(predict: Predict, images: list[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """One call of `predict` for images (H, W, 3) tested at one size -> for each (M, 5): x1, y1, x2, y2 in its own pixels, score."""
    batch = np.stack([resize(image, size).transpose(2, 0, 1) for image in images])
    outputs = predict({"image": batch})
    boxes, scores, count = (np.asarray(outputs[key]) for key in ("boxes", "scores", "count"))
    assert len(count) == len(images) and len(boxes) == len(scores) == count.sum(), (
        f"predict: expected rows for {len(images)} images, received count {count}, {len(boxes)} boxes, {len(scores)} scores"
    )
    rows = np.concatenate([boxes.reshape(-1, 4), scores.reshape(-1, 1)], axis=1).astype("float64")
    found = np.split(rows, np.cumsum(count)[:-1])
    for image, faces in zip(images, found, strict=True):
        height, width = image.shape[:2]
        faces[:, :4] *= np.tile([width / size[1], height / size[0]], 2)
    return found


def _batches(picture: Callable[[int], Picture], count: int, size: TestSize, batch_size: int) -> Iterator[list[int]]:
    """Indices of pictures that are tested at one size, at most `batch_size` together."""
    if batch_size == 1:
        yield from ([i] for i in range(count))
        return
    by_size: dict[tuple[int, int], list[int]] = {}
    for i in range(count):
        height, width = size.of(*picture(i).size)
        by_size.setdefault((height, width), []).append(i)
    for indices in by_size.values():
        yield from (indices[start : start + batch_size] for start in range(0, len(indices), batch_size))
