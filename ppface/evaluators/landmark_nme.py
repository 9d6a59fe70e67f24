"""Errors of a detector's landmarks on the faces that it finds."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading.label_files import read_all
from ppface.data.synthetic import is_synthetic
from ppface.evaluators.ap import checked, first_of_each, match
from ppface.evaluators.detect import Predict, detect, labelled_boxes
from ppface.evaluators.landmarks import VALUES, check_counts, model_landmarks, summary, unit
from ppface.evaluators.plots import draw_cumulative, make_folder, writing
from ppface.ops.boxes import to_xywh
from ppface.ops.resize import TestSize


@register("evaluator")
class LandmarkNME:
    """Normalised mean error of a detector's landmarks over matched faces, as in RetinaFace, Deng et al. 2020,
    https://arxiv.org/abs/1905.00641, section 4: mean distance, divided by the root of width * height of the labelled box.

    Predictions are matched to faces as in `FaceAP`: to the face of highest IoU, if that is at least 0.5; of several on one face, the one
    with the highest score counts. Faces that are not found have no error: read the values together with `matched`, and with AP.

    Args:
        dataset: samples with "picture", "gt_boxes", "gt_landmarks" and "gt_has_landmarks" (without it, all are labelled).
        normalise: distance by which errors are divided: the root of width * height of the labelled box, or the distance between the
            outer corners or the middles of the eyes (of five landmarks the eyes themselves).
        threshold: error above which a face has failed.
        min_size: faces of less height, in pixels of the original picture, are left out; 0 takes every face with landmarks.
        size: test size of a picture; none takes the model's own `test_size`.
        save_dir: folder for `landmark_nme.json` (the errors of every picture's faces) and `landmark_nme.png`, the cumulative curve; none
            writes nothing.
        batch_size: pictures of equal test size per call of `predict`, > 0.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"boxes": (M, 4), "scores": (M,), "count": (N,), "landmarks": (M, K, 2)};
        the evaluator yields ("nme", mean error), ("failures", share of matched faces above `threshold`), ("auc", area under the cumulative
        curve up to `threshold`, 0..1) and ("matched", share of the faces with landmarks that are found); without any match the first
        three are infinity, 1 and 0

    Raises:
        DataError: broken pictures, no face with landmarks, another number of landmarks than the model's, eyes at the same place, landmarks
            of the model that are not finite, or `save_dir` cannot be written.
        ValueError: an argument out of its range.
    """

    lower_is_better = ("nme", "failures")

    def __init__(
        self,
        dataset: Annotated[Any, Kind("dataset")],
        normalise: Literal["box", "inter_ocular", "inter_pupil"] = "box",
        threshold: float = 0.1,
        min_size: float = 0.0,
        size: TestSize | None = None,
        save_dir: str | None = None,
        batch_size: int = 1,
    ):
        if batch_size < 1 or threshold <= 0 or min_size < 0:
            raise ValueError(
                "LandmarkNME: expected batch_size of at least 1, threshold above 0 and min_size of at least 0, "
                f"received {batch_size}, {threshold} and {min_size}"
            )
        self.dataset, self.normalise, self.threshold, self.min_size = dataset, normalise, threshold, min_size
        self.size, self.save_dir, self.batch_size = size, save_dir, batch_size

    def values(self) -> list[str]:
        """The names of the values that it yields."""
        return [*VALUES, "matched"]

    def check(self, predict: Predict) -> None:
        """Opens the header of every picture, of synthetic ones only the first, and compares its landmarks with the model's; raises a
        DataError that lists all that cannot be used."""
        if self.save_dir:
            make_folder(self.save_dir)
        size = (self.size or getattr(predict, "test_size", None) or TestSize()).of(64, 64)
        points = model_landmarks(predict, size)
        count = 1 if is_synthetic(self.dataset) else len(self.dataset)
        labels = self._labels(count, any_face=count < len(self.dataset))
        check_counts([truth.shape[1] if np.isfinite(units).any() else points for _, truth, units in labels], points, self.dataset.name)

    def __call__(self, predict: Predict) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        labels = self._labels(len(self.dataset))
        found = detect(predict, lambda i: self.dataset[i]["picture"], len(labels), self.size, None, self.batch_size, landmarks=True)
        each = [self._errors(rows, *labels[i], self.dataset.name(i)) for i, rows in enumerate(found)]
        values = np.concatenate(each)
        if folder:
            with writing(folder):
                errors = {self.dataset.name(i): row.round(6).tolist() for i, row in enumerate(each)}
                (folder / "landmark_nme.json").write_text(json.dumps(errors, indent=1) + "\n", encoding="utf-8")
                draw_cumulative({type(self.dataset).__name__: values}, self.threshold, folder / "landmark_nme.png")
        matched = len(values) / sum(np.isfinite(units).sum() for _, _, units in labels)
        values = values if len(values) else np.array([np.inf])
        yield from summary(values, self.threshold).items()
        yield "matched", float(matched)

    def _errors(self, rows: np.ndarray, boxes: np.ndarray, points: np.ndarray, units: np.ndarray, name: str) -> np.ndarray:
        """The errors of the found faces of one picture.

        Shape:
            rows (M, 5 + 2K) of the detector, boxes (F, 4) x, y, w, h of all faces, points (G, K, 2) and units (G,) of the first G <= F
        """
        predictions = checked(np.concatenate([to_xywh(rows[:, :4]), rows[:, 4:5]], axis=1), name)
        face = match([predictions], [boxes], faceless=True)
        best = first_of_each(face, predictions[:, 4], len(boxes)) & (face >= 0) & (face < len(units))
        best[best] = np.isfinite(units[face[best]])
        truth, found = points[face[best]], rows[best, 5:].reshape(-1, rows[:, 5:].shape[1] // 2, 2)
        if found.shape != truth.shape and len(found):
            raise DataError(f"{name}: expected {found.shape[1]} landmarks, as the model has, received {truth.shape[1]}")
        if not np.isfinite(found).all():
            raise DataError(f"{name}: expected landmarks of finite numbers from the model, received {found[~np.isfinite(found)][0]}")
        return np.linalg.norm(found - truth, axis=2).mean(axis=1) / units[face[best]] if len(found) else np.zeros(0)

    def _labels(self, count: int, any_face: bool = False) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Boxes, landmarks and units of the first `count` pictures, see `_errors`; a face that does not count has the unit NaN.

        Args:
            any_face: whether none of them need count.
        """
        labels = read_all(lambda i: self._picture(self.dataset[i], self.dataset.name(i)), count)
        faces = sum(len(units) for _, _, units in labels)
        if not any_face and not any(np.isfinite(units).any() for _, _, units in labels):
            raise DataError(
                f"{type(self.dataset).__name__}: none of the {faces} faces in {count} pictures counts; expected at least one with "
                f"labelled landmarks and of height {self.min_size:g} or more"
            )
        return labels

    def _picture(self, sample: dict, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes = to_xywh(labelled_boxes(sample, name))
        truth = sample.get("gt_landmarks", np.zeros((len(boxes), 0, 2))).astype("float64")
        known = sample.get("gt_has_landmarks", np.full(len(boxes), "gt_landmarks" in sample)) & (boxes[:, 3] >= self.min_size)
        units = np.full(len(boxes), np.nan)
        for i in np.flatnonzero(known):
            units[i] = np.sqrt(boxes[i, 2] * boxes[i, 3]) if self.normalise == "box" else unit(truth[i], self.normalise, name)
        ignored = to_xywh(sample.get("_ignored_boxes", np.zeros((0, 4))).astype("float64"))
        return np.concatenate([boxes, ignored]), truth, units
