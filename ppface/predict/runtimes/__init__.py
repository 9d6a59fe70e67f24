"""The runtimes of exported models, each as `predict(batch) -> named arrays`."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from ppface.core.config.run_config import EXPORT
from ppface.core.errors import WeightsError

PARITY = "parity.json"
FILES = {"paddle": ("model.json", "model.pdiparams"), "onnxruntime": ("model.onnx",), "openvino": ("model.xml", "model.bin")}


def is_export(folder: str | os.PathLike) -> bool:
    """Whether a folder is an export, of one format or with a folder for each of several."""
    return Path(folder, EXPORT).is_file() or Path(folder, PARITY).is_file()


def choose(folder: Path) -> tuple[Path, str]:
    """The folder of a format, and the runtime for it: of several the fastest one that is installed, by the latencies in parity.json.

    Raises:
        WeightsError: no export, or none whose runtime is installed.
    """
    if (folder / EXPORT).is_file():
        held = [name for name, files in FILES.items() if all((folder / file).is_file() for file in files)]
        return folder, held[0] if held else "paddle"
    try:
        rows = json.loads((folder / PARITY).read_text(encoding="utf-8"))["formats"]
        ranked = sorted((min(row["ms"].values()), row["folder"], row["runtime"]) for row in rows)
        fitting = [(folder / name, runtime) for _, name, runtime in ranked if (folder / name / EXPORT).is_file() and runtime in FILES]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / PARITY}: not the figures of an export ({error}); name the folder of one format") from error
    if not fitting:
        raise WeightsError(f"{folder}: expected the folders of the formats that {PARITY} lists, found none of them")
    for place, runtime in fitting:
        if importlib.util.find_spec(runtime) is not None:
            return place, runtime
    raise WeightsError(f"{folder}: expected one of the runtimes {', '.join(sorted({name for _, name in fitting}))} to be installed")


def open_export(folder: str | os.PathLike, threads: int | None = None) -> Any:
    """The export in a folder as `predict(batch) -> named arrays`, run by the runtime that `choose` finds.

    Args:
        folder: what ppface export wrote.
        threads: CPU threads; None: one per core.

    Raises:
        WeightsError: a folder without an export, with other files than were exported, or whose runtime is not installed.
    """
    place, runtime = choose(Path(folder))
    if runtime == "onnxruntime":
        from ppface.predict.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(place, threads)
    if runtime == "openvino":
        from ppface.predict.runtimes.openvino_runtime import OpenVino

        return OpenVino(place, threads)
    from ppface.predict.exported import Exported

    return Exported(place, threads)
