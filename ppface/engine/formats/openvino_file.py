"""Exports a model for OpenVINO, from its ONNX file."""

import shutil
from pathlib import Path

import yaml

from ppface.core.config.run_config import EXPORT
from ppface.core.errors import UserError
from ppface.engine.export import digests
from ppface.engine.formats import require
from ppface.engine.formats.onnx_file import FILE as ONNX_FILE

FILES = ("model.xml", "model.bin")


def write(onnx_folder: Path, folder: Path, half: bool = False) -> None:
    """Writes `model.xml`, `model.bin` and `inference.yml`.

    Args:
        onnx_folder: what onnx_file.write wrote.
        folder: must exist.
        half: store the weights as float16.

    Raises:
        UserError: OpenVINO is missing, or refuses the model.
    """
    require("openvino")
    import openvino

    try:
        made = openvino.convert_model(onnx_folder / ONNX_FILE)
    except (RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise UserError(f"OpenVINO could not convert the model: {str(error).strip().splitlines()[-1]}") from error
    openvino.save_model(made, folder / FILES[0], compress_to_fp16=half)
    redescribe(onnx_folder, folder)


def redescribe(source: Path, folder: Path) -> None:
    """Writes into `folder` the `inference.yml` of another format of the same model, with the digests of its own files."""
    about = yaml.safe_load((source / EXPORT).read_text(encoding="utf-8"))
    about["sha256"] = digests(folder)
    (folder / EXPORT).write_text(yaml.safe_dump(about, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8")


def copy_about(source: Path, folder: Path) -> None:
    """Copies what a run's folder says about the model (its config, environment and classes) beside a file of another format."""
    for file in source.iterdir():
        if file.is_file() and file.name != EXPORT and not file.name.startswith("model."):
            shutil.copy2(file, folder)
