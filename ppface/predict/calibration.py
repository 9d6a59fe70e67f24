"""Calibration pictures for INT8: those of a folder or a data set as they enter the network."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppface.core.errors import DataError
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures import picture_files
from ppface.data.pictures.picture import Picture
from ppface.data.transforms.landmark_crop import LandmarkCrop
from ppface.ops.resize import TestSize

LIMIT = 300  # pictures; more hardly change the ranges that are measured


def pictures(folder: str | Path, size: TestSize) -> list[np.ndarray]:
    """Up to LIMIT pictures of a folder, evenly chosen, each (1, 3, H, W) uint8 RGB at the model's test size.

    Raises:
        DataError: a folder that is missing or holds no pictures, or a picture that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of calibration pictures, there is no such folder")
    files = [folder / file for file in picture_files.find(folder, None).files]
    if not files:
        raise DataError(f"{folder}: expected calibration pictures, found none in this folder")
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(LIMIT, len(files))).astype(int))]
    return [_entering(Picture.open(str(file)), size) for file in chosen]


def of_data_set(dataset: Any, size: TestSize, crops: bool = False) -> list[np.ndarray]:
    """The same of a data set's samples.

    Args:
        dataset: with annotations, of faces or of people.
        size: the model's test size.
        crops: for a landmark model, which takes a crop of one face: that around the labelled landmarks, as its evaluators make it.
    """
    count = len(dataset)
    chosen = (dataset[int(i)] for i in np.unique(np.linspace(0, count - 1, min(LIMIT, count)).astype(int)))
    if crops and size.size:
        crop, rng = Pipeline([LandmarkCrop(size.size)]), np.random.default_rng(0)  # the crop draws nothing
        return [crop(sample, rng)["image"][None] for sample in chosen]
    return [_entering(sample["picture"], size) for sample in chosen]


def _entering(picture: Picture, size: TestSize) -> np.ndarray:
    pixels = picture.decode()
    return np.stack(cv2.split(size.place(*pixels.shape[:2]).apply(pixels)))[None]
