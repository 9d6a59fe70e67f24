"""Synthetic faces, drawn by NumPy and OpenCV without files or downloads, with complete annotations.

`identity` holds the parameters of a person, `variation` those of a picture (pose, light, expression); `head` draws a head, `portrait` a
person, `scene` a whole picture.
"""

from typing import Any


def is_synthetic(dataset: Any) -> bool:
    """Whether a data set, or the one it is a part of, draws its pictures: no file can be missing, and each sample takes time."""
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return getattr(dataset, "synthetic", False)
