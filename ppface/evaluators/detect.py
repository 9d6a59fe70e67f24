"""Runs a detector on pictures of any size: resize, batch, predict, and map the boxes back to pixels of the original picture."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from ppface.core.errors import DataError
from ppface.core.run.log import log
from ppface.data.pictures.picture import Picture
from ppface.ops.boxes import clip
from ppface.ops.resize import Placement, TestSize
from ppface.ops.two_runs import merged

LOW_SCORE = 0.1  # a higher score threshold removes a part of the precision-recall curve that AP measures
Predict = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def detect(
    predict: Predict,
    picture: Callable[[int], Picture],
    count: int,
    size: TestSize | None = None,
    augmented: Callable | None = None,
    batch_size: int = 1,
    landmarks: bool = False,
) -> list[np.ndarray]:
    """Detects the faces of `count` pictures. Pictures of the same test size are batched together, in any order.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"boxes": (M, 4) in pixels of `image`, "scores": (M,), "count": (N,)}.
        picture: i -> picture i; called again for each use, so that few pictures are in memory at once.
        size: test size of a picture; None takes `predict.test_size`, or the original size if `predict` has none.
        augmented: a component of kind "augmented_test"; it processes one picture at a time.
        batch_size: pictures per call of `predict`, > 0.
        landmarks: append the landmarks to the rows, for a `predict` that answers "landmarks": (M, K, 2); not with `augmented`.

    Shape:
        for each picture (M, 5): x1, y1, x2, y2 in pixels of the original picture, clipped to it, and score; with landmarks (M, 5 + 2K),
        x and y of each in the same pixels, not clipped
    """
    _warn_of_threshold(getattr(predict, "score_threshold", None))
    size = size or getattr(predict, "test_size", None) or TestSize()
    found: list[np.ndarray] = [np.zeros((0, 5))] * count
    for indices in _batches(picture, count, size, 1 if augmented else batch_size):
        images = [picture(i).decode() for i in indices]
        if augmented:  # its views have other sizes, so that a letterbox would only add borders
            faces = [augmented(predict, images[0], size.place(*images[0].shape[:2]).inner)]
        else:
            faces = run(predict, images, size, landmarks)
        for i, image, rows in zip(indices, images, faces, strict=True):
            cut = np.concatenate([clip(rows[:, :4], image.shape[:2]), rows[:, 4:]], axis=1)
            found[i] = cut[(cut[:, 2:4] > cut[:, :2]).all(axis=1)]  # drops boxes entirely outside the picture
    return found


@cache  # one line in a training, which evaluates many times
def _warn_of_threshold(threshold: float | None) -> None:
    if threshold is not None and threshold > LOW_SCORE:
        effect = "faces with lower scores are missing from the precision-recall curve, so AP is too low"
        log.warning("model.post.score_threshold=%g: %s; evaluate, or export, with -o model.post.score_threshold=0.01", threshold, effect)


def run(predict: Predict, images: list[np.ndarray], size: TestSize, landmarks: bool = False) -> list[np.ndarray]:
    """One call of `predict` for images (H, W, 3) of one test size, and one for the policy's coarser run if it has one -> for each (M, 5):
    x1, y1, x2, y2 in its own pixels, score; with `landmarks` (M, 5 + 2K)."""
    places = [size.places(*image.shape[:2]) for image in images]
    runs = [_run_once(predict, images, list(of_one_run), landmarks) for of_one_run in zip(*places, strict=True)]
    if not size.coarser:
        return runs[0]
    return [merged(fine, coarse, size.large / place[0].scale) for fine, coarse, place in zip(*runs, places, strict=True)]


def _run_once(predict: Predict, images: list[np.ndarray], places: list[Placement], landmarks: bool) -> list[np.ndarray]:
    """One call of `predict` for images of which each has its place in an input of the same size."""
    batch = np.stack([place.apply(image).transpose(2, 0, 1) for place, image in zip(places, images, strict=True)])
    outputs = predict({"image": batch})
    if missing := [key for key in ("boxes", "scores", "count", *(["landmarks"] if landmarks else [])) if key not in outputs]:
        kind = f"detectors{' with landmarks' if landmarks else ''}"
        received = ", ".join(sorted(outputs))
        raise DataError(f"expected a model with the output '{missing[0]}', as {kind} have, received one with {received}")
    boxes, scores, count = (np.asarray(outputs[key]) for key in ("boxes", "scores", "count"))
    assert len(count) == len(images) and len(boxes) == len(scores) == count.sum(), (
        f"predict: expected rows for {len(images)} images, received count {count}, {len(boxes)} boxes, {len(scores)} scores"
    )
    points = np.asarray(outputs["landmarks"]) if landmarks else np.zeros((len(boxes), 0, 2))
    points = points.reshape(len(boxes), 2 * points.shape[1])
    rows = np.concatenate([boxes.reshape(-1, 4), scores.reshape(-1, 1), points], axis=1).astype("float64")
    found = np.split(rows, np.cumsum(count)[:-1])
    for place, faces in zip(places, found, strict=True):
        faces[:, :4], faces[:, 5:] = place.rows_back(faces[:, :4]), place.rows_back(faces[:, 5:])
    return found


def check_detector(predict: Predict, size: TestSize | None = None) -> None:
    """Raises DataError for a model that finds no faces; it is asked for an empty picture."""
    run(predict, [np.zeros((64, 64, 3), np.uint8)], size or getattr(predict, "test_size", None) or TestSize())


def labelled_boxes(sample: dict, name: str) -> np.ndarray:
    """(G, 4) boxes of a sample; raises DataError for one of a data set without faces' boxes, as those of people are."""
    if "gt_boxes" not in sample:
        raise DataError(f"{name}: expected a sample with gt_boxes, as data sets of detection have, received {', '.join(sorted(sample))}")
    return sample["gt_boxes"].astype("float64")


def _batches(picture: Callable[[int], Picture], count: int, size: TestSize, batch_size: int) -> Iterator[list[int]]:
    """Indices of pictures of equal test size, at most `batch_size` per batch."""
    if batch_size == 1:
        yield from ([i] for i in range(count))
        return
    groups: dict[tuple[int, int], list[int]] = {}
    for i in range(count):
        height, width = size.of(*picture(i).size)
        groups.setdefault((height, width), []).append(i)
    for indices in groups.values():
        yield from (indices[start : start + batch_size] for start in range(0, len(indices), batch_size))
