"""AP of a detector on the WIDER FACE validation pictures, by the official protocol."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk
from ppface.core.registry import Kind, register
from ppface.data.loading.label_files import read_all
from ppface.data.pictures.picture import Picture
from ppface.evaluators.bootstrap import check_resamples, interval_names, intervals, named
from ppface.evaluators.detect import Predict, check_detector, detect
from ppface.evaluators.multi_scale import MultiScale
from ppface.evaluators.plots import draw_curves, make_folder, write_curves, writing
from ppface.evaluators.wider_face import evaluate_curves
from ppface.evaluators.wider_files import SUBSETS, read_ground_truth, write_predictions
from ppface.ops.boxes import to_xywh
from ppface.ops.resize import TestSize


@register("evaluator")
class WiderFaceAP:
    """AP on the easy, medium and hard subsets of WIDER FACE's validation set: Yang et al. 2016, https://arxiv.org/abs/1511.06523.

    Args:
        images: folder of the validation pictures, such as `images/0--Parade/0_Parade_marchingband_1_465.jpg`.
        ground_truth: folder of wider_face_val.mat and wider_{easy,medium,hard}_val.mat.
        size: test size of a picture; none takes the model's own `test_size`.
        augmented: test-time augmentation, such as MultiScale; none runs the detector once per picture.
        save_dir: folder for `predictions/` (the official layout of result files), `easy.png`, `medium.png`, `hard.png` (precision-recall
            curves) and `curves.json`; none writes nothing.
        batch_size: pictures of equal test size per call of `predict`, > 0.
        bootstrap: resamples of the pictures for 95 % intervals of AP, such as 1000; 0: no intervals.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"boxes": (M, 4), "scores": (M,), "count": (N,)};
        the evaluator yields ("easy", AP), ("medium", AP), ("hard", AP) and, with `bootstrap`, ("easy_ci95_low", ...),
        ("easy_ci95_high", ...) and so on, each 0..1

    Raises:
        DataError: ground truth or pictures are missing or broken, or `save_dir` cannot be written.
        ValueError: batch_size under 1, or bootstrap between 0 and 100.
    """

    def __init__(
        self,
        images: str,
        ground_truth: str,
        size: TestSize | None = None,
        augmented: Annotated[MultiScale, Kind("augmented_test")] | None = None,
        save_dir: str | None = None,
        batch_size: int = 1,
        bootstrap: int = 0,
    ):
        check_resamples("WiderFaceAP", bootstrap)
        if batch_size < 1:
            raise ValueError(f"WiderFaceAP: expected batch_size of at least 1, received {batch_size}")
        self.size, self.augmented, self.save_dir, self.batch_size, self.bootstrap = size, augmented, save_dir, batch_size, bootstrap
        self.truth = read_ground_truth(ground_truth)
        images = on_disk(images)
        if not Path(images).is_dir():
            raise DataError(f"{images}: no such folder; expected the validation pictures as 0--Parade/0_Parade_marchingband_1_465.jpg")
        self.paths = [Path(images) / event / f"{image}.jpg" for event, image in self.truth.names]
        missing = [path for path in self.paths if not path.is_file()]
        if missing:
            raise DataError(f"{missing[0]}: no such file; {len(missing)} of {len(self.paths)} validation pictures are missing in {images}")

    def values(self) -> list[str]:
        """The names of the values that it yields."""
        return [*SUBSETS, *(interval_names(SUBSETS) if self.bootstrap else [])]

    def check(self, predict: Predict) -> None:
        """Opens the header of every picture; raises a DataError that lists all that cannot be read."""
        if self.save_dir:
            make_folder(self.save_dir)
        read_all(lambda i: Picture.open(self.paths[i]).size, len(self.paths))
        check_detector(predict, self.size)

    def __call__(self, predict: Predict) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        found = detect(predict, lambda i: Picture.open(str(self.paths[i])), len(self.paths), self.size, self.augmented, self.batch_size)
        rows = [np.concatenate([to_xywh(faces[:, :4]), faces[:, 4:]], axis=1) for faces in found]
        predictions = dict(zip(self.truth.names, rows, strict=True))
        curves = evaluate_curves(predictions, self.truth)
        if folder:
            with writing(folder):
                write_predictions(folder / "predictions", predictions)
                write_curves(curves, folder / "curves.json")
                for subset, curve in curves.items():
                    draw_curves({subset: curve}, folder / f"{subset}.png", f"WIDER FACE validation, {subset}")
        yield from ((subset, curve.ap) for subset, curve in curves.items())
        if self.bootstrap:
            yield from named(intervals(rows, self.truth.faces, self.truth.counted, self.bootstrap)).items()
