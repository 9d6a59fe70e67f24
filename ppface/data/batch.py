"""The keys that a sample and a batch may contain, each with its shape and type."""

from dataclasses import dataclass

import numpy as np

from ppface.core.errors import DataError


@dataclass(frozen=True)
class Key:
    """One array of a batch. Shapes leave out the batch axis; "G" is an axis of varying length that is padded.

    Args:
        dtype: NumPy type name.
        shape: sizes and names of the axes of one sample.
        about: description, with units.
    """

    dtype: str
    shape: tuple
    about: str


KEYS = {
    "image": Key("uint8", (3, "H", "W"), "RGB pixels, 0..255; the model casts and normalises"),
    "gt_boxes": Key("float32", ("G", 4), "faces as x1, y1, x2, y2 in pixels of `image`; padding rows are zero"),
    "gt_landmarks": Key("float32", ("G", "K", 2), "x, y in pixels of `image`; zero where not labelled"),
    "gt_has_landmarks": Key("bool", ("G",), "whether the face's landmarks are labelled"),
    "gt_occlusion": Key("uint8", ("H", "W"), "1 where an object in front of a person covers the pixel, else 0; 255 where unknown"),
    "gt_count": Key("int64", (), "how many rows along G are not padding; set by `collate`"),
    "label": Key("int64", (), "identity, 0..class_num-1"),
    "hard": Key("bool", (), "whether the sample is hard: from a list of hard pictures, or a degraded copy"),
    "attributes": Key("bool", ("A",), "what makes a face hard, such as pose, expression, illumination, make-up, occlusion, blur"),
    "pose": Key("float32", (3,), "yaw, pitch, roll of the head in degrees, > 0: to the right of the picture, down, clockwise as seen"),
}


ADVICE = {"image": "end train.transforms with one that gives all pictures one size, such as Resize"}  # where shapes differ


def ragged(key: str) -> bool:
    """Whether the first axis of this key varies from sample to sample: one row per face of a picture."""
    shape = KEYS[key].shape
    return bool(shape) and shape[0] == "G"


def _check_shapes(key: str, arrays: list[np.ndarray]) -> None:
    shapes = [array.shape[1:] if ragged(key) else array.shape for array in arrays]
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is not None:
        expected = f"expected {key} of one shape in all samples of a batch, received {list(shapes[0])} and {list(other)}"
        raise DataError(f"{expected}: {ADVICE.get(key, 'choose data sets that agree')}")


def collate(samples: list[dict]) -> dict[str, np.ndarray]:
    """Stacks samples, all with the same keys of KEYS, into one batch; axis G is padded with zeros to the longest, at least 1.

    Shape:
        [{"image": (3, H, W), "gt_boxes": (G_i, 4), ...}] * N -> {"image": (N, 3, H, W), "gt_boxes": (N, max G_i, 4), "gt_count": (N,), ...}

    Raises:
        DataError: pictures of different sizes, or faces of different numbers of landmarks.
    """
    batch: dict[str, np.ndarray] = {}
    for key in samples[0]:
        arrays = [np.asarray(sample[key], dtype=KEYS[key].dtype) for sample in samples]
        _check_shapes(key, arrays)
        if ragged(key):
            counts = np.array([len(array) for array in arrays], dtype="int64")
            padded = np.zeros((len(arrays), max(1, counts.max()), *arrays[0].shape[1:]), dtype=KEYS[key].dtype)
            for row, array in zip(padded, arrays, strict=True):
                row[: len(array)] = array
            batch[key], batch["gt_count"] = padded, counts
        else:
            batch[key] = np.stack(arrays)
    return batch
