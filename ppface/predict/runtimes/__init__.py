"""The runtimes of exported models, each as `predict(batch) -> named arrays`."""

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppface.core.config.run_config import CHECKPOINTS, EXPORT
from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import STATE, WEIGHTS
from ppface.core.run.log import log

PARITY = "parity.json"
FILES = {"paddle": ("model.json", "model.pdiparams"), "onnxruntime": ("model.onnx",), "openvino": ("model.xml", "model.bin")}


class UnusableRuntimeError(WeightsError):
    """A runtime that is broken or refuses the model, which another may run.

    Args:
        file: of the model.
        runtime: its name for people.
        package: its name for pip.
        error: what it raised.
        line: which line of a long message says the reason.
    """

    def __init__(self, file: Path, runtime: str, package: str, error: Exception, line: int = 0):
        said = [text.strip() for text in str(error).splitlines() if text.strip()]
        reason = said[line] if said else type(error).__name__
        if isinstance(error, ImportError):
            super().__init__(f"{file}: {runtime} cannot be imported ({reason}): install it with: pip install {package}")
        else:
            super().__init__(f"{file}: {runtime} cannot run it: {reason}")


def is_export(folder: str | os.PathLike) -> bool:
    """Whether a folder is an export, of one format or with a folder for each of several, maybe without their figures."""
    if Path(folder, EXPORT).is_file() or Path(folder, PARITY).is_file():
        return True
    own_model = any(Path(folder, name).exists() for name in (CHECKPOINTS, STATE, WEIGHTS))  # of which the exports may lie beside it
    return not own_model and bool(_formats(Path(folder)))


def _formats(folder: Path) -> list[str]:
    """The folders of formats in the folder of an export."""
    return sorted(file.parent.name for file in folder.glob(f"*/{EXPORT}"))


def choose(folder: Path, broken: Mapping[Path, str] | None = None) -> tuple[Path, str]:
    """The folder of a format, and the runtime for it: of several the fastest one that is installed, by the latencies in parity.json.

    Args:
        folder: what ppface export wrote.
        broken: folders of formats that are left out, and why.

    Raises:
        WeightsError: no export, or none is left whose runtime is installed.
    """
    broken = broken or {}
    if (folder / EXPORT).is_file():
        held = [name for name, files in FILES.items() if all((folder / file).is_file() for file in files)]
        return folder, held[0] if held else "paddle"
    if not (folder / PARITY).is_file():
        raise WeightsError(f"{folder}: {PARITY} is missing: copy it too, or name the folder of one format: {', '.join(_formats(folder))}")
    try:
        rows = json.loads((folder / PARITY).read_text(encoding="utf-8"))["formats"]
        ranked = sorted((min(row["ms"].values()), row["folder"], row["runtime"]) for row in rows)
        fitting = [(folder / name, runtime) for _, name, runtime in ranked if (folder / name / EXPORT).is_file() and runtime in FILES]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / PARITY}: not the figures of an export ({error}); name the folder of one format") from error
    if not fitting:
        raise WeightsError(f"{folder}: expected the folders of the formats that {PARITY} lists, found none of them")
    for place, runtime in fitting:
        if place not in broken and importlib.util.find_spec(runtime) is not None:
            return place, runtime
    reasons = "".join(f"; {reason}" for reason in dict.fromkeys(broken.values()))
    wanted = ", ".join(sorted({name for _, name in fitting}))
    raise WeightsError(f"{folder}: expected one of the runtimes {wanted} to be installed{' and to work' * bool(broken)}{reasons}")


def open_export(folder: str | os.PathLike, threads: int | None = None) -> Any:
    """The export in a folder as `predict(batch) -> named arrays`, run by the first runtime that `choose` finds and that works; a warning
    names the broken ones before.

    Args:
        folder: what ppface export wrote.
        threads: CPU threads; None: one per core.

    Raises:
        WeightsError: a folder without an export, with other files than were exported, or whose runtime is not installed or broken.
    """
    broken: dict[Path, str] = {}
    while True:
        place, runtime = choose(Path(folder), broken)
        try:
            opened = _open(place, runtime, threads)
        except UnusableRuntimeError as error:
            if place == Path(folder):
                raise
            broken[place] = str(error)
            continue
        for reason in dict.fromkeys(broken.values()):
            log.warning("%s runs the model, as a faster one fails: %s", runtime, reason)
        return opened


def _open(place: Path, runtime: str, threads: int | None) -> Any:
    if runtime == "onnxruntime":
        from ppface.predict.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(place, threads)
    if runtime == "openvino":
        from ppface.predict.runtimes.openvino_runtime import OpenVino

        return OpenVino(place, threads)
    from ppface.predict.exported import Exported

    return Exported(place, threads)
