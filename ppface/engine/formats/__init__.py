"""Formats of an export besides Paddle's own: ONNX and OpenVINO files, their INT8 variants, and the comparison of all of them."""

import importlib.util

from ppface.core.errors import UserError

CONVERTER = ("onnx", "paddle2onnx")
PACKAGES = {"onnx": (*CONVERTER, "onnxruntime"), "openvino": ("openvino", *CONVERTER), "int8": ("nncf", "openvino", *CONVERTER)}


def require(extra: str, packages: tuple[str, ...] | None = None) -> None:
    """Checks that packages of an extra of ppface are installed.

    Args:
        extra: its name.
        packages: those of it that are needed; None: all.

    Raises:
        UserError: one of them is missing.
    """
    missing = [name for name in packages or PACKAGES[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"this export needs {', '.join(missing)}: install it with: pip install 'ppface[{extra}]'")
