"""An exported model as `predict(batch) -> named arrays`, run by paddle.inference."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ppface.core.config.run_config import EXPORT
from ppface.core.errors import WeightsError
from ppface.core.run.cpu import cores
from ppface.ops.resize import TestSize

MODEL = "model"
CACHED_SHAPES = 32  # number of input shapes whose prepared kernels oneDNN keeps


def _of_type(mapping: Any, key: str, *types: type) -> Any:
    value = mapping[key]
    if not isinstance(value, types):
        raise TypeError(f"{key}: expected a {types[0].__name__}, received {value!r}")
    return value


def _read_description(files: list[Path]) -> tuple[dict[str, Any], TestSize]:
    """inference.yml and the test policy in it, after comparing the other files with its digests: Paddle crashes on truncated files."""
    try:
        about = yaml.safe_load(files[0].read_text(encoding="utf-8"))
        policy = _of_type(about, "input", dict)["test"]
        shape = _of_type(policy, "size", list, type(None))
        sides = [*(shape or [1, 1]), policy["max_side"]]
        if len(sides) != 3 or any(type(side) is not int for side in sides):
            raise TypeError(f"input.test: expected height, width and max_side, whole numbers of pixels, received {sides!r}")
        size = TestSize(policy["mode"], tuple(shape) if shape else None, policy["max_side"])
        digests, outputs = _of_type(about, "sha256", dict), _of_type(about, "outputs", list)
        if not all(isinstance(name, str) for name in outputs):
            raise TypeError(f"outputs: expected names, received {outputs!r}")
    except (yaml.YAMLError, OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{files[0]}: not a valid export description ({error}); export or copy it again") from error
    for file in files[1:]:
        if hashlib.sha256(file.read_bytes()).hexdigest() != digests.get(file.name):
            raise WeightsError(f"{file}: not the file that {EXPORT} describes: truncated or replaced; export or copy both again")
    return about, size


class Exported:
    """The static model in a folder that ppface export wrote.

    Args:
        folder: holds inference.yml, model.json and model.pdiparams.
        threads: CPU threads; None: one per core.
        onednn: use oneDNN on a CPU (about five times faster than without).
        gpu: run on the first GPU.

    Attributes:
        about: inference.yml as plain values.
        test_size: the model's test policy.
        score_threshold: below which the model drops faces; None if inference.yml does not state it.

    Shape:
        {"image": (N, 3, H, W) uint8} -> arrays by the names that inference.yml lists

    Raises:
        WeightsError: a folder without these files, or with other files than were exported.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, onednn: bool = True, gpu: bool = False):
        from paddle import inference

        folder = Path(folder)
        files = [folder / EXPORT, folder / f"{MODEL}.json", folder / f"{MODEL}.pdiparams"]
        if missing := [file.name for file in files if not file.is_file()]:
            raise WeightsError(f"{folder}: expected an exported model, {', '.join(missing)} is missing")
        self.about, self.test_size = _read_description(files)
        stated = self.about.get("score_threshold")
        self.score_threshold = float(stated) if isinstance(stated, int | float) else None
        config = inference.Config(str(files[1]), str(files[2]))
        config.disable_glog_info()
        config.enable_new_executor()
        config.enable_memory_optim()  # needs the new executor
        if gpu:
            config.enable_use_gpu(256, 0)
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads or cores())
            if onednn:
                config.enable_mkldnn()
                config.set_mkldnn_cache_capacity(CACHED_SHAPES)
            else:
                config.disable_mkldnn()
        self._predictor = inference.create_predictor(config)
        self._input = self._predictor.get_input_handle("image")
        self._outputs = [self._predictor.get_output_handle(name) for name in self._predictor.get_output_names()]

    def identity(self) -> str:
        """A digest of the exported files: equal digests mean equal outputs."""
        return hashlib.sha256(json.dumps(self.about["sha256"], sort_keys=True).encode()).hexdigest()

    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return list(self.about["outputs"])

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._input.copy_from_cpu(np.ascontiguousarray(batch["image"]))
        self._predictor.run()
        return {name: output.copy_to_cpu() for name, output in zip(self.about["outputs"], self._outputs, strict=True)}
