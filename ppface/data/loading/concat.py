"""Several data sets as one, for instance photographs and drawn faces."""

from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.core.run.log import log
from ppface.data.batch import KEYS
from ppface.data.synthetic import is_synthetic

LANDMARKS = ("gt_landmarks", "gt_has_landmarks")
POSE = "pose"


@register("dataset")
class Concat:
    """The samples of the first data set, then those of the second, and so on, as PyTorch's
    https://pytorch.org/docs/stable/data.html#torch.utils.data.ConcatDataset.

    Where only some of the data sets have landmarks, the faces of the others count as not labelled (`gt_has_landmarks` is False), so that a
    detector learns boxes from all and landmarks from some. Where only some have the pose of the head, as drawn faces do, it is left out of
    all, and losses take it from the landmarks. Data sets of people cannot be joined: their labels mean different people.

    Args:
        datasets: at least one, whose samples have the same keys, apart from landmarks and pose.
        times: how often the samples of each data set occur, one whole number >= 1 a data set; None: once.

    Shape:
        sample: as of the data sets; gt_landmarks (G, K, 2) and gt_has_landmarks (G,) of every sample if one data set has them

    Raises:
        ValueError: no data set, or `times` that do not fit them.
        DataError: data sets of people, of samples with different keys, or with different numbers of landmarks.
    """

    def __init__(self, datasets: list[Annotated[Any, Kind("dataset")]], times: list[int] | None = None):
        times = [1] * len(datasets) if times is None else times
        if not datasets or len(times) != len(datasets) or min(times) < 1:
            raise ValueError(f"Concat: expected data sets and `times` of at least 1 for each of {len(datasets)}, received {times}")
        self.datasets, self.synthetic = datasets, all(is_synthetic(dataset) for dataset in datasets)
        self.first = np.concatenate([[0], np.cumsum([count * len(dataset) for count, dataset in zip(times, datasets, strict=True)])])
        samples = [dataset[0] for dataset in datasets]
        self.poses = all(POSE in sample for sample in samples)
        if not self.poses and (
            with_pose := [type(data).__name__ for data, sample in zip(datasets, samples, strict=True) if POSE in sample]
        ):
            log.info("Concat: `pose` is left out, only %s has it: losses take it from the landmarks", ", ".join(with_pose))
        self.points = self._check(samples)

    def _check(self, samples: list[dict]) -> int | None:
        """The number of landmarks of a face, None without landmarks; raises if the samples of the data sets do not fit together."""
        keys = [sorted(key for key in sample if key in KEYS and key not in (*LANDMARKS, POSE)) for sample in samples]
        names = [type(dataset).__name__ for dataset in self.datasets]
        if any("label" in has for has in keys):
            raise DataError(f"Concat: expected data sets without labels of people, received {', '.join(names)}")
        if any(has != keys[0] for has in keys):
            received = "; ".join(f"{name} has {', '.join(has)}" for name, has in zip(names, keys, strict=True))
            raise DataError(f"Concat: expected data sets whose samples have the same keys, received: {received}")
        counts = {sample[LANDMARKS[0]].shape[1] for sample in samples if LANDMARKS[0] in sample}
        if len(counts) > 1:
            received = " and ".join(str(count) for count in sorted(counts))
            raise DataError(f"Concat: expected the same number of landmarks in all data sets, received {received}")
        return counts.pop() if counts else None

    def __len__(self) -> int:
        return int(self.first[-1])

    def _at(self, index: int) -> tuple[Any, int]:
        """The data set of a sample, and the sample's index in it."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        which = int(np.searchsorted(self.first, index, side="right")) - 1
        dataset = self.datasets[which]
        return dataset, int(index - self.first[which]) % len(dataset)

    def name(self, index: int) -> str:
        dataset, at = self._at(index)
        return dataset.name(at)

    def __getitem__(self, index: int) -> dict:
        dataset, at = self._at(index)
        sample = dataset[at]
        if not self.poses:
            sample.pop(POSE, None)
        if self.points is not None and "gt_boxes" in sample:
            faces, (points, labelled) = len(sample["gt_boxes"]), LANDMARKS
            known = points in sample
            sample.setdefault(points, np.zeros((faces, self.points, 2), np.float32))
            sample.setdefault(labelled, np.full(faces, known))
        return sample
