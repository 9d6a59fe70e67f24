"""Options of an export in several formats: the pictures and figures that are compared, and the pictures by which INT8 is calibrated; and
the room that an export needs."""

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import UserError

GRAPH_BYTES = 4_000_000  # at most, of a traced model without its parameters


def check_temporary_room(model: Any) -> None:
    """Looks for room in the folder for temporary files, to which Paddle traces the model without a word when the disk is full.

    Raises:
        UserError: no such folder is writable, or it has too little room.
    """
    from ppface.nets.weights import training_only

    left_out = training_only(model)
    kept = [value for name, value in model.state_dict().items() if not name.startswith(left_out)]
    needed = GRAPH_BYTES + sum(value.size * value.element_size() for value in kept)
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        raise UserError("found no folder for temporary files that can be written: set TMPDIR to one") from None
    if (free := shutil.disk_usage(folder).free) < needed:
        asked = f"expected {needed / 1e6:.1f} MB of free space for temporary files, found {free / 1e6:.1f}"
        raise UserError(f"{folder}: {asked}: make room, or set TMPDIR to another folder")


@contextlib.contextmanager
def writable_home(folder: Path) -> Iterator[None]:
    """Within the block the home folder is another one, if it is not writable: Paddle writes code that it traces to ~/.cache."""
    place = Path(os.path.expanduser("~/.cache/paddle/to_static_tmp"))  # noqa: PTH111  (never raises)
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK):
        yield
        return
    home = os.environ.get("HOME")
    os.environ["HOME"] = str(folder)
    try:
        yield
    finally:
        del os.environ["HOME"]
        if home is not None:
            os.environ["HOME"] = home


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
