"""Formats of an export besides Paddle's own: ONNX and OpenVINO files, their INT8 variants, and the comparison of all of them."""

import importlib.util

from ppface.core.errors import UserError

PACKAGES = {"onnx": ("onnx", "paddle2onnx", "onnxruntime"), "openvino": ("openvino", "onnx", "paddle2onnx"), "int8": ("nncf", "openvino")}


def require(extra: str) -> None:
    """Checks that the packages of an extra of ppface are installed.

    Raises:
        UserError: one of them is missing.
    """
    missing = [name for name in PACKAGES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        extras = "onnx,openvino" if extra == "openvino" and missing != ["openvino"] else extra
        raise UserError(f"this export needs {', '.join(missing)}: install it with: pip install 'ppface[{extras}]'")
