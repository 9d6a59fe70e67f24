"""inference.yml, which lies beside the files of every format and says what the model takes and returns."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ppface.core.config.run_config import EXPORT
from ppface.core.errors import WeightsError
from ppface.core.files.file_names import for_library
from ppface.ops.resize import TestSize


def _of_type(mapping: Any, key: str, *types: type) -> Any:
    value = mapping[key]
    if not isinstance(value, types):
        raise TypeError(f"{key}: expected a {types[0].__name__}, received {value!r}")
    return value


def _read_description(files: list[Path]) -> tuple[dict[str, Any], TestSize]:
    """inference.yml and the test policy in it, after comparing the other files with its digests: runtimes crash on truncated files."""
    try:
        about = yaml.safe_load(files[0].read_text(encoding="utf-8"))
        policy = _of_type(about, "input", dict)["test"]
        shape = _of_type(policy, "size", list, type(None))
        sides = [*(shape or [1, 1]), policy["max_side"]]
        if len(sides) != 3 or any(type(side) is not int for side in sides):
            raise TypeError(f"input.test: expected height, width and max_side, whole numbers of pixels, received {sides!r}")
        second = {key: policy[key] for key in ("coarser", "large") if key in policy}
        size = TestSize(policy["mode"], tuple(shape) if shape else None, policy["max_side"], **second)
        digests, outputs = _of_type(about, "sha256", dict), _of_type(about, "outputs", list)
        if not all(isinstance(name, str) for name in outputs):
            raise TypeError(f"outputs: expected names, received {outputs!r}")
    except (yaml.YAMLError, OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{files[0]}: not a valid export description ({error}); export or copy it again") from error
    for file in files[1:]:
        if hashlib.sha256(file.read_bytes()).hexdigest() != digests.get(file.name):
            raise WeightsError(f"{file}: not the file that {EXPORT} describes: truncated or replaced; export or copy both again")
    return about, size


class DescribedModel:
    """What the predictors of all runtimes share: the description of the model.

    Args:
        folder: holds inference.yml and the files of one format.
        names: those files.

    Attributes:
        files: their paths.
        paths: the same as the runtimes take them.
        about: inference.yml as plain values.
        test_size: the model's test policy.
        score_threshold: below which the model drops faces; None if inference.yml does not state it.

    Shape:
        {"image": (N, 3, H, W) uint8} -> arrays by the names that inference.yml lists

    Raises:
        WeightsError: a folder without these files, or with other files than were exported.
    """

    def __init__(self, folder: str | Path, names: tuple[str, ...]):
        self.files = [Path(folder, name) for name in names]
        self.paths = [for_library(file) for file in self.files]
        files = [Path(folder, EXPORT), *self.files]
        if missing := [file.name for file in files if not file.is_file()]:
            raise WeightsError(f"{folder}: expected an exported model, {', '.join(missing)} is missing")
        self.about, self.test_size = _read_description(files)
        stated = self.about.get("score_threshold")
        self.score_threshold = float(stated) if isinstance(stated, int | float) else None

    def identity(self) -> str:
        """A digest of the exported files: equal digests mean equal outputs."""
        return hashlib.sha256(json.dumps(self.about["sha256"], sort_keys=True).encode()).hexdigest()

    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return list(self.about["outputs"])

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pixels = np.ascontiguousarray(batch["image"])
        if len(pixels):
            return self._run(pixels)
        # runtimes fail or crash at an empty batch, so that the answer to one picture gives names, shapes and types
        return {name: rows[:0] for name, rows in self._run(np.zeros((1, *pixels.shape[1:]), pixels.dtype)).items()}

    def _run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name for N >= 1 pictures."""
        raise NotImplementedError
