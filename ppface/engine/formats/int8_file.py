"""Exports a model for OpenVINO with its convolutions in INT8, quantized with NNCF by calibration pictures."""

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import UserError
from ppface.engine.formats import require
from ppface.engine.formats.onnx_file import FILE as ONNX_FILE
from ppface.engine.formats.openvino_file import FILES, redescribe

FEW_CHANNELS = 16  # which an INT8 kernel computes at a time
NETWORK = ("Convolution", "GroupConvolution")  # operators before which the network ends, seen from the outputs


def write(onnx_folder: Path, folder: Path, pictures: Sequence[np.ndarray]) -> None:
    """Writes `model.xml`, `model.bin` and `inference.yml`, by post-training quantization,
    https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html.

    In float32 stay a first convolution to few channels, which takes four times as long in INT8, and what follows the last convolutions:
    decoding and suppression.

    Args:
        onnx_folder: what onnx_file.write wrote.
        folder: must exist.
        pictures: (N, 3, H, W) uint8 RGB each, as they enter the network.

    Raises:
        UserError: a package is missing, or there are no pictures.
    """
    if not pictures:
        raise UserError("INT8 needs pictures by which the range of every layer is measured: give --calibration FOLDER")
    require("int8")
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    made = openvino.convert_model(onnx_folder / ONNX_FILE)
    scope = nncf.IgnoredScope(names=sorted(narrow_first_convolutions(made) | after_the_network(made)), validate=False)
    data = nncf.Dataset(list(pictures), lambda picture: {"image": picture})
    with contextlib.redirect_stdout(sys.stderr):  # NNCF draws bars of its progress
        quantized = nncf.quantize(made, data, subset_size=len(pictures), preset=nncf.QuantizationPreset.MIXED, ignored_scope=scope)
    openvino.save_model(quantized, folder / FILES[0], compress_to_fp16=False)
    redescribe(onnx_folder, folder)


def narrow_first_convolutions(made: Any) -> set[str]:
    """Names of the convolutions from the three channels of an image to fewer than FEW_CHANNELS, of an openvino.Model."""

    def narrow(node: Any) -> bool:
        channels_in, channels_out = node.input(0).get_partial_shape()[1], node.output(0).get_partial_shape()[1]
        return channels_in == 3 and channels_out.is_static and channels_out.get_length() < FEW_CHANNELS

    return {node.get_friendly_name() for node in made.get_ops() if node.get_type_name() == "Convolution" and narrow(node)}


def after_the_network(made: Any) -> set[str]:
    """Names of the operators between the last convolutions and the outputs of an openvino.Model."""
    found: dict[str, Any] = {}
    todo = list(made.get_results())
    while todo:
        node = todo.pop()
        name = node.get_friendly_name()
        if name not in found and node.get_type_name() not in NETWORK:
            found[name] = node
            todo += [node.input_value(i).get_node() for i in range(node.get_input_size())]
    return {name for name, node in found.items() if node.get_type_name() not in ("Constant", "Parameter", "Result")}
