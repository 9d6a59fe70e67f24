"""Writes one model in several formats, a folder each."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from paddle import nn

from ppface.engine import export
from ppface.engine.formats import int8_file, onnx_file, openvino_file, require


def check(formats: Sequence[str], int8: bool) -> None:
    """Raises UserError if a package that these formats need is missing, before anything is computed."""
    for name in formats:
        if name != "paddle":
            require(name)
    if int8:
        require("int8")


def write(
    model: nn.Layer,
    folder: Path,
    formats: Sequence[str],
    about: dict[str, Any],
    tracing: Callable[[], AbstractContextManager],
    finish: Callable[[Any], Any],
    pictures: Sequence[Any] = (),
) -> dict[str, Path]:
    """Writes the formats.

    Args:
        model: put in evaluation mode.
        folder: for one format its folder; otherwise every format gets a folder of its name inside. Files that lie there, such as the
            run's config, are copied beside each format.
        formats: of paddle, onnx and openvino.
        about, tracing, finish: see onnx_file.write.
        pictures: calibration pictures (N, 3, H, W) uint8 RGB; if any, `openvino_int8` is written too.

    Returns:
        the folder of each format by its name

    Raises:
        UserError: a package is missing, or the model cannot be converted.
    """
    names = [*dict.fromkeys(formats), *(["openvino_int8"] if pictures else [])]
    places = {name: folder / name if len(names) > 1 else folder for name in names}
    for place in places.values():
        place.mkdir(exist_ok=True)
        if place != folder:
            openvino_file.copy_about(folder, place)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".onnx.") as aside:  # beside it: removed together if a signal ends the tool
        if "paddle" in places:
            export.write(model, places["paddle"], about)
        if set(names) - {"paddle"}:
            through = places.get("onnx", Path(aside))
            onnx_file.write(model, through, about, tracing, finish)
            if "openvino" in places:
                openvino_file.write(through, places["openvino"])
            if pictures:
                int8_file.write(through, places["openvino_int8"], pictures)
    return places
