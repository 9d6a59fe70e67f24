"""Errors of a landmark network on any data set of faces with landmarks."""

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import cv2
import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.landmarks.landmark_face import one_face
from ppface.data.loading.label_files import read_all
from ppface.data.loading.pipeline import Pipeline
from ppface.data.synthetic import is_synthetic
from ppface.data.transforms.landmark_crop import LandmarkCrop
from ppface.evaluators.plots import draw_cumulative, make_folder, writing
from ppface.ops.face_crop import MARGIN

EYES = {5: ([0], [1]), 68: ([36], [45]), 98: ([60], [72])}  # number of landmarks -> those at the outer corners of the eyes
PUPILS = {5: ([0], [1]), 68: ([36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47]), 98: ([96], [97])}
WORST, COLUMNS = 16, 4  # pictures of `worst.png`, and in a row of it
VALUES = ("nme", "failures", "auc")


@register("evaluator")
class Landmarks:
    """Normalised mean error of landmarks, with the failure rate and the area under the cumulative curve of 300-W, Sagonas et al. 2016,
    https://doi.org/10.1016/j.imavis.2016.01.002, section 5, on faces that are cropped by their labelled landmarks.

    Args:
        dataset: samples with "picture" and "gt_landmarks" (1, K, 2).
        normalise: distance by which errors are divided: between the outer corners of the eyes, between the middles of the eyes, or the
            root of width * height of the landmarks' box.
        threshold: error above which a face has failed; 0.1 for WFLW, 0.08 for 300-W.
        margin: side of the crop relative to the longer side of the landmarks' box.
        save_dir: folder for `landmarks.json` (the error of every face), `cumulative.png` and `worst.png`
            (labelled landmarks red, predicted ones green); none writes nothing.
        batch_size: pictures per call of `predict`, > 0.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"landmarks": (N, K, 2)}, with a `test_size` of mode "stretch";
        the evaluator yields ("nme", mean error), ("failures", share of faces above `threshold`), ("auc", area under the cumulative curve
        up to `threshold`, 0..1), and the same three as "nme_NAME", ... of the faces with each of the data set's `attribute_names`

    Raises:
        DataError: no picture, a broken one, one with several faces or without landmarks, another number of landmarks than the model's, one
            without eyes for `normalise`, eyes at the same place, a model of any size, or one whose landmarks are not finite.
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        dataset: Annotated[Any, Kind("dataset")],
        normalise: Literal["inter_ocular", "inter_pupil", "box"] = "inter_ocular",
        threshold: float = 0.1,
        margin: float = MARGIN,
        save_dir: str | None = None,
        batch_size: int = 32,
    ):
        if batch_size < 1 or threshold <= 0 or margin <= 0:
            raise ValueError(
                "Landmarks: expected batch_size of at least 1, threshold and margin above 0, "
                f"received {batch_size}, {threshold} and {margin}"
            )
        self.dataset, self.normalise, self.threshold, self.margin = dataset, normalise, threshold, margin
        self.save_dir, self.batch_size = save_dir, batch_size
        self.attributes = tuple(getattr(dataset, "attribute_names", ()))  # after `check`, those that a face has

    def values(self) -> list[str]:
        """The names of the values that it yields; that of an attribute only if a face has it, which is known after `check`."""
        return [*VALUES, *(f"{value}_{name}" for name in self.attributes for value in VALUES)]

    @property
    def lower_is_better(self) -> list[str]:
        """Those of `values` that are errors."""
        return [value for value in self.values() if not value.startswith("auc")]

    def check(self, predict: Any) -> None:
        """Opens the header of every picture, of synthetic ones only the first, and compares its landmarks with the model's; raises a
        DataError that lists all that cannot be used."""
        if self.save_dir:
            make_folder(self.save_dir)
        size = self._size(predict)
        count = model_landmarks(predict, size)

        has: set[str] = set()

        def look(index: int) -> int:
            sample = self.dataset[index]
            truth = one_face(sample, self.dataset.name(index))
            unit(truth, self.normalise, self.dataset.name(index))
            has.update(name for name, one in zip(self.attributes, sample.get("attributes", ()), strict=False) if one)
            return len(truth)

        looked_at = 1 if is_synthetic(self.dataset) else len(self.dataset)
        check_counts(read_all(look, looked_at), count, self.dataset.name)
        if looked_at == len(self.dataset):
            self.attributes = tuple(name for name in self.attributes if name in has)

    def _size(self, predict: Any) -> tuple[int, int]:
        """(height, width) of the crops."""
        if predict.test_size.mode != "stretch":
            raise DataError(f"Landmarks: expected a model with input.test: {{mode: stretch}}, received mode {predict.test_size.mode!r}")
        if len(self.dataset) == 0:
            raise DataError(f"Landmarks: expected pictures to evaluate, {type(self.dataset).__name__} has none")
        return predict.test_size.size

    def __call__(self, predict: Any) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        height, width = self._size(predict)
        crop = Pipeline([LandmarkCrop((height, width), self.margin)])
        square = min(height, width) / np.array([width, height])  # undoes the stretching of square crops to other inputs
        errors: list[float] = []
        attributes: list[np.ndarray] = []
        worst: list[tuple[float, np.ndarray]] = []
        for start in range(0, len(self.dataset), self.batch_size):
            indices = range(start, min(start + self.batch_size, len(self.dataset)))
            rng = np.random.default_rng(0)  # the crop draws nothing
            samples = [crop(self.dataset[i], rng) for i in indices]
            found = landmarks_of(predict({"image": np.stack([sample["image"] for sample in samples])}))
            for i, sample, points in zip(indices, samples, found, strict=True):
                truth = one_face(sample, self.dataset.name(i))
                errors.append(self._error(points * square, truth * square, self.dataset.name(i)))
                attributes.append(sample.get("attributes", np.zeros(0, bool)))
                if folder:
                    worst = sorted([*worst, (errors[-1], _drawn(sample["image"], points, truth))], key=lambda one: -one[0])[:WORST]
        values = np.array(errors)
        names = getattr(self.dataset, "attribute_names", ())
        subsets = {name: values[has] for name, has in zip(names, np.array(attributes).T, strict=False) if has.any()}
        if folder:
            with writing(folder):
                rows = {self.dataset.name(i): round(float(value), 6) for i, value in enumerate(values)}
                (folder / "landmarks.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
                draw_cumulative({type(self.dataset).__name__: values, **subsets}, self.threshold, folder / "cumulative.png")
                (folder / "worst.png").write_bytes(cv2.imencode(".png", _tiled([image for _, image in worst])[:, :, ::-1])[1].tobytes())
        yield from summary(values, self.threshold).items()
        for name, chosen in subsets.items():
            yield from ((f"{key}_{name}", value) for key, value in summary(chosen, self.threshold).items())

    def _error(self, points: np.ndarray, truth: np.ndarray, name: str) -> float:
        if points.shape != truth.shape:
            raise DataError(f"Landmarks: expected {len(truth)} landmarks, as the data set has, the model has {len(points)}")
        if not np.isfinite(points).all():
            raise DataError(f"{name}: expected landmarks of finite numbers from the model, received {points[~np.isfinite(points)][0]}")
        return nme(points, truth, self.normalise)


def evaluate(
    points: np.ndarray,
    truth: np.ndarray,
    normalise: Literal["inter_ocular", "inter_pupil", "box"] = "inter_ocular",
    threshold: float = 0.1,
) -> dict[str, float]:
    """The values of `Landmarks` from arrays.

    Args:
        points: predicted, of N faces.
        truth: labelled.
        normalise: see `Landmarks`.
        threshold: see `Landmarks`.

    Shape:
        (N, K, 2), (N, K, 2) in the same pixels -> {"nme", "failures", "auc"}

    Raises:
        DataError: arrays of other shapes or with numbers that are not finite, no face, or as `unit`.
        ValueError: a threshold that is not above 0, or another `normalise`.
    """
    if threshold <= 0:
        raise ValueError(f"evaluate: expected a threshold above 0, received {threshold}")
    if points.shape != truth.shape or points.ndim != 3 or points.shape[2] != 2 or not len(points):
        raise DataError(f"evaluate: expected two arrays (N, K, 2) of one shape with N >= 1, received {points.shape} and {truth.shape}")
    if wrong := [i for i, pair in enumerate(zip(points, truth, strict=True)) if not np.isfinite(pair).all()]:
        raise DataError(
            f"evaluate: expected landmarks of finite numbers, received others in {len(wrong)} faces, the first in row {wrong[0]}"
        )
    return summary(np.array([nme(*pair, normalise) for pair in zip(points, truth, strict=True)]), threshold)


def summary(errors: np.ndarray, threshold: float) -> dict[str, float]:
    """(N,) errors of faces -> their mean, the share above `threshold`, and the area under their cumulative curve."""
    return dict(zip(VALUES, (float(errors.mean()), float((errors > threshold).mean()), area_under(errors, threshold)), strict=True))


def model_landmarks(predict: Any, size: tuple[int, int]) -> int:
    """How many landmarks a model has, found by asking for an empty picture; raises DataError for a model without."""
    return landmarks_of(predict({"image": np.zeros((1, 3, *size), np.uint8)})).shape[1]


def landmarks_of(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The landmarks among a model's outputs; raises DataError if it has none."""
    if "landmarks" not in outputs:
        raise DataError(f"expected a model with the output 'landmarks', received one with {', '.join(sorted(outputs))}")
    return outputs["landmarks"]


def check_counts(counts: list[int], expected: int, name: Callable[[int], str]) -> None:
    """Raises one DataError for all pictures whose faces have another number of landmarks than the model."""
    wrong = [i for i, count in enumerate(counts) if count != expected]
    if wrong:
        more = f"; so have {len(wrong) - 1} more pictures" if len(wrong) > 1 else ""
        raise DataError(f"{name(wrong[0])}: expected {expected} landmarks, as the model has, received {counts[wrong[0]]}{more}")


def nme(points: np.ndarray, truth: np.ndarray, normalise: str = "inter_ocular") -> float:
    """Mean distance of predicted and true landmarks, divided by a distance of the true ones; see `unit` for arguments and errors.

    Shape:
        (K, 2), (K, 2) in the same pixels
    """
    return float(np.linalg.norm(points - truth, axis=1).mean() / unit(truth, normalise))


def unit(truth: np.ndarray, normalise: str = "inter_ocular", name: str = "Landmarks") -> float:
    """The distance by which errors are divided.

    Args:
        truth: labelled landmarks.
        normalise: "inter_ocular", "inter_pupil" or "box", see `Landmarks`.
        name: of the picture, for messages.

    Shape:
        (K, 2) -> pixels

    Raises:
        ValueError: another `normalise`.
        DataError: a number of landmarks whose eyes are not known, or a distance of 0.
    """
    if normalise not in ("inter_ocular", "inter_pupil", "box"):
        raise ValueError(f"{name}: expected normalise: inter_ocular, inter_pupil or box, received {normalise!r}")
    if normalise == "box":
        pixels = float(np.sqrt(np.prod(truth.max(axis=0) - truth.min(axis=0))))
    else:
        eyes = (EYES if normalise == "inter_ocular" else PUPILS).get(len(truth))
        if eyes is None:
            raise DataError(f"{name}: expected 5, 68 or 98 landmarks for {normalise}, received {len(truth)}; normalise: box takes any")
        pixels = float(np.linalg.norm(truth[eyes[0]].mean(axis=0) - truth[eyes[1]].mean(axis=0)))
    if pixels == 0:
        between = "a box of landmarks with an area" if normalise == "box" else "eyes at two places"
        raise DataError(f"{name}: expected {between} for normalise: {normalise}, received a distance of 0 pixels")
    return pixels


def area_under(errors: np.ndarray, threshold: float) -> float:
    """Area under the share of faces with an error of at most e, for e from 0 to `threshold`, divided by `threshold`; exact."""
    return float(np.maximum(0, 1 - errors / threshold).mean())


def _drawn(image: np.ndarray, points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(3, H, W) -> (H, W, 3) with the labelled landmarks in red and the predicted ones in green."""
    canvas = np.ascontiguousarray(image.transpose(1, 2, 0))
    for landmarks, color in ((truth, (255, 0, 0)), (points, (0, 255, 0))):
        for x, y in np.nan_to_num(landmarks).clip(-1e4, 1e4):
            cv2.circle(canvas, (round(float(x)), round(float(y))), 1, color, -1)
    return canvas


def _tiled(images: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size in rows, black where there are too few."""
    images = images + [np.zeros_like(images[0])] * (-len(images) % COLUMNS)
    rows = [np.concatenate(images[i : i + COLUMNS], axis=1) for i in range(0, len(images), COLUMNS)]
    return np.concatenate(rows)
