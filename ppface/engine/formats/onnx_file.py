"""Exports a model as an ONNX file, with its decoding and suppression inside the graph."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from paddle import nn

from ppface.engine import export
from ppface.engine.formats import CONVERTER, require
from ppface.engine.formats.converter import convert

FILE = "model.onnx"


def write(
    model: nn.Layer,
    folder: Path,
    about: dict[str, Any],
    tracing: Callable[[], AbstractContextManager],
    finish: Callable[[Any], Any],
) -> None:
    """Writes `model.onnx` and `inference.yml`.

    Args:
        model: put in evaluation mode.
        folder: must exist.
        about: further content of `inference.yml`.
        tracing: a context in which the model is traced.
        finish: changes the onnx.ModelProto in place: `ppface.ops.nms_in_onnx.replace_marks`, where `tracing` is `ppface.ops.onnx_tracing`.

    Shape:
        as export.write; the outputs of the file have the names of `inference.yml`

    Raises:
        UserError: a package is missing, or the model cannot be converted.
    """
    require("onnx", CONVERTER)  # for OpenVINO's formats too, without ONNX Runtime
    import onnx

    with tempfile.TemporaryDirectory(dir=folder) as aside:  # on the disk that must have room
        with tracing():
            names = export.trace(model, Path(aside))
        convert(Path(aside, f"{export.MODEL}.json"), Path(aside, f"{export.MODEL}.pdiparams"), Path(aside, FILE))
        made = onnx.load(Path(aside, FILE))
    finish(made)
    rename_outputs(made, names)
    sides = ["height", "width"] if model.any_size else model.input.size
    for place, side in zip((0, 2, 3), ("pictures", *sides), strict=True):
        dimension = made.graph.input[0].type.tensor_type.shape.dim[place]
        if isinstance(side, str):
            dimension.dim_param = side
        else:
            dimension.dim_value = side
    onnx.checker.check_model(made)
    onnx.save(made, folder / FILE)
    export.describe(model, folder, names, about)


def rename_outputs(made: Any, names: list[str]) -> None:
    """Gives the outputs these names, through the whole graph; inner values that have them already get others."""
    new = {output.name: name for output, name in zip(made.graph.output, names, strict=True)}
    new |= {name: f"inner.{name}" for name in names if name not in new}
    for node in made.graph.node:
        for values in (node.input, node.output):
            values[:] = [new.get(value, value) for value in values]
    for value in [*made.graph.output, *made.graph.initializer, *made.graph.value_info]:
        value.name = new.get(value.name, value.name)
    for output in made.graph.output:
        if len(output.type.tensor_type.shape.dim):
            output.type.tensor_type.shape.dim[0].Clear()  # of pictures or faces: any number
