"""Options of an export in several formats: the pictures and figures that are compared, and the pictures by which INT8 is calibrated."""

import argparse
from typing import Any

import numpy as np

from ppface.core.errors import UserError


def suppression() -> tuple[Any, Any]:
    """How suppression gets into an ONNX file: the context in which a model is traced, and the replacement of what that leaves."""
    from ppface.ops.nms_in_onnx import replace_marks
    from ppface.ops.onnx_tracing import onnx_tracing

    return onnx_tracing, replace_marks


def faces(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Drawn pictures with large and small faces, by which formats are compared: (count, 3, height, width) uint8 RGB."""
    from ppface.data.synthetic.synthetic_faces import SyntheticFaces

    drawn = SyntheticFaces(count, (max(32, size[0]), max(32, size[1])), seed, faces=(1, 4), face_size=(0.2, 0.7), landmarks=0)
    return np.stack([drawn[i]["picture"].decode()[: size[0], : size[1]].transpose(2, 0, 1) for i in range(count)])


def pictures(args: argparse.Namespace, live: Any) -> list:
    """The calibration pictures of `--int8`, else none.

    Raises:
        DataError: pictures that cannot be used.
        UserError: there are none.
    """
    if not args.int8:
        return []
    from ppface.predict import calibration

    size = live.model.input.test
    if args.calibration:
        return calibration.pictures(args.calibration, size)
    if not live.config["train"]:
        raise UserError("--int8: expected pictures by which the range of every layer is measured: give --calibration FOLDER")
    outputs = live.model.predictor().outputs()
    return calibration.of_data_set(live.config["train"]["dataset"](), size, "landmarks" in outputs and "boxes" not in outputs)


def evaluators(args: argparse.Namespace, live: Any) -> list:
    """The config's evaluators, with `--evaluate`.

    Raises:
        UserError: the config has none.
    """
    if not args.evaluate:
        return []
    if not live.config["evaluators"]:
        raise UserError("--evaluate: expected evaluators in the config, found none: give a config that has some with -c")
    return [evaluator() for evaluator in live.config["evaluators"]]
