"""AP and recall of a detector on any data set with labelled faces."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading.label_files import read_all
from ppface.data.synthetic import is_synthetic
from ppface.evaluators.ap import checked, curves
from ppface.evaluators.bootstrap import check_resamples, interval_names, intervals, named
from ppface.evaluators.detect import Predict, check_detector, detect, labelled_boxes
from ppface.evaluators.multi_scale import MultiScale
from ppface.evaluators.plots import draw_curves, make_folder, write_curves, writing
from ppface.ops.boxes import to_xywh
from ppface.ops.resize import TestSize


@register("evaluator")
class FaceAP:
    """The protocol of WIDER FACE, Yang et al. 2016, https://arxiv.org/abs/1511.06523, on any labelled data set, as a single subset.

    Unlike in WIDER FACE, predictions on a picture without faces are false positives. A broken picture is an error: AP over the remaining
    pictures would not be comparable.

    Args:
        dataset: samples with "picture" and "gt_boxes"; faces in "_ignored_boxes" count neither as found nor as missed.
        min_size: faces of less height, in pixels of the original picture, are ignored; 0 counts every face.
        size: test size of a picture; none takes the model's own `test_size`.
        augmented: test-time augmentation, such as MultiScale; none runs the detector once per picture.
        save_dir: folder for `ap.png` (the precision-recall curve) and `curves.json`; none writes nothing.
        batch_size: pictures of equal test size per call of `predict`, > 0.
        bootstrap: resamples of the pictures for a 95 % interval of AP, such as 1000; 0: no interval.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"boxes": (M, 4), "scores": (M,), "count": (N,)};
        the evaluator yields ("ap", AP), ("recall", share of the faces matched by any prediction) and, with `bootstrap`, ("ap_ci95_low",
        ...) and ("ap_ci95_high", ...), each 0..1

    Raises:
        DataError: broken pictures, no face that counts, or `save_dir` cannot be written.
        ValueError: batch_size under 1, min_size under 0, or bootstrap between 0 and 100.
    """

    def __init__(
        self,
        dataset: Annotated[Any, Kind("dataset")],
        min_size: float = 0.0,
        size: TestSize | None = None,
        augmented: Annotated[MultiScale, Kind("augmented_test")] | None = None,
        save_dir: str | None = None,
        batch_size: int = 1,
        bootstrap: int = 0,
    ):
        check_resamples("FaceAP", bootstrap)
        if batch_size < 1 or min_size < 0:
            raise ValueError(f"FaceAP: expected batch_size of at least 1 and min_size of at least 0, received {batch_size} and {min_size}")
        self.dataset, self.min_size = dataset, min_size
        self.size, self.augmented, self.save_dir, self.batch_size, self.bootstrap = size, augmented, save_dir, batch_size, bootstrap

    def values(self) -> list[str]:
        """The names of the values that it yields."""
        return ["ap", "recall", *(interval_names(["ap"]) if self.bootstrap else [])]

    def check(self, predict: Predict) -> None:
        """Opens the header of every picture, of synthetic ones only the first; raises a DataError that lists all that cannot be read."""
        if self.save_dir:
            make_folder(self.save_dir)
        if not is_synthetic(self.dataset):
            self._labels()
        elif len(self.dataset):
            self._faces(0)
        check_detector(predict, self.size)

    def __call__(self, predict: Predict) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        faces, counted = self._labels()
        found = detect(predict, lambda i: self.dataset[i]["picture"], len(faces), self.size, self.augmented, self.batch_size)
        rows = [np.concatenate([to_xywh(boxes[:, :4]), boxes[:, 4:]], axis=1) for boxes in found]
        predictions = [checked(array, self.dataset.name(i)) for i, array in enumerate(rows)]
        curve = curves(predictions, faces, {"ap": counted}, faceless=True)["ap"]
        if folder:
            with writing(folder):
                write_curves({"ap": curve}, folder / "curves.json")
                draw_curves({type(self.dataset).__name__: curve}, folder / "ap.png", "precision and recall")
        yield "ap", curve.ap
        yield "recall", float(curve.recall[-1])
        if self.bootstrap:
            yield from named(intervals(predictions, faces, {"ap": counted}, self.bootstrap, faceless=True)).items()

    def _labels(self) -> tuple[list[np.ndarray], np.ndarray]:
        """For each picture (G, 4) x, y, w, h of its faces, and which of all faces count (sum of G,)."""
        labelled = read_all(self._faces, len(self.dataset))
        faces = [boxes for boxes, _ in labelled]
        counted = np.concatenate([*(counts for _, counts in labelled), np.zeros(0, dtype=bool)])
        if not counted.any():
            raise DataError(
                f"{type(self.dataset).__name__}: none of the {len(counted)} faces in {len(faces)} pictures counts; "
                f"expected at least one of height {self.min_size:g} or more"
            )
        return faces, counted

    def _faces(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(G, 4) x, y, w, h of all faces of a picture, and which of them count (G,)."""
        sample = self.dataset[index]
        faces = labelled_boxes(sample, self.dataset.name(index))
        boxes = to_xywh(np.concatenate([faces, sample.get("_ignored_boxes", np.zeros((0, 4))).astype("float64")]))
        return boxes, (boxes[:, 3] >= self.min_size) & (np.arange(len(boxes)) < len(faces))
