"""Runs paddle2onnx in a process of its own, as it aborts its process at operators that it cannot convert."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ppface.core.errors import UserError

OPSET = 17
ABORTS_AT = ("flip", "nms")  # operators at which paddle2onnx 2.1.0 was seen to abort
SCRIPT = (
    "import sys, paddle2onnx; model, weights, out, opset = sys.argv[1:]; "
    # optimize_tool: its default installs packages with pip
    "paddle2onnx.export(model, weights, out, opset_version=int(opset), optimize_tool=None, verbose=False)"
)


def convert(model: Path, weights: Path, out: Path) -> None:
    """Converts a static Paddle model to an ONNX file.

    Raises:
        UserError: the converter died or refused, with the operators at fault where they are known.
    """
    command = [sys.executable, "-c", SCRIPT, *map(str, (model, weights, out, OPSET))]
    environment = os.environ | {"GLOG_minloglevel": "2", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode == 0 and out.is_file():
        return
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode < 0:
        found = [name for name in ABORTS_AT if name in operators(model)]
        named = f"it has {' and '.join(repr(name) for name in found)}, which paddle2onnx cannot convert" if found else "operator unknown"
        raise UserError(f"paddle2onnx was ended by {signal.Signals(-done.returncode).name} while converting the model: {named}")
    raise UserError(f"paddle2onnx could not convert the model: {_reason(lines)}")


def _reason(lines: list[str]) -> str:
    """The line that names an operator, else the last one."""
    return next((line for line in lines if "not support" in line.lower()), lines[-1] if lines else "it wrote no file and no message")


def operators(model: Path) -> set[str]:
    """The names of Paddle's operators in a model.json."""
    found: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("#"), str) and part["#"].startswith("1."):
                found.add(part["#"][2:])
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(json.loads(model.read_text(encoding="utf-8")))
    return found
