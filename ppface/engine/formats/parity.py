"""Compares the formats of an export with the live model: outputs, latency, size and, where wanted, what evaluators measure."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.config.run_config import EXPORT
from ppface.core.errors import UserError
from ppface.core.run.cpu import cores
from ppface.core.run.log import log
from ppface.engine import export
from ppface.engine.evaluation import measure

FILE = "parity.json"
COUNTS = (1, 2, 5)  # pictures at once
RUNTIMES = {"paddle": "paddle", "onnx": "onnxruntime"}
WARM_UP, RUNS, SECONDS = 3, 30, 2.0  # of a measurement of latency; it ends after this time at the latest


def compare_formats(
    model: Any,
    places: dict[str, Path],
    load: Callable[..., Any],
    tolerance: float,
    evaluators: Sequence[Any] = (),
    draw: export.Draw | None = None,
) -> dict[str, Any]:
    """Compares every format with the live model.

    Args:
        model: the live model.
        places: the folder of each format by its name.
        load: (folder, threads=CPU threads) -> predict.
        tolerance: see export.compare; INT8 formats, whose outputs always differ, are not held to it.
        evaluators: their values are measured for the live model and every format.
        draw: see export.questions.

    Returns:
        the content of parity.json

    Raises:
        UserError: a format differs by more than the tolerance, or its runtime cannot run it.
    """
    live = model.predictor()
    asked = [(batch, live(batch)) for batch in export.questions(model, COUNTS, draw)]
    if not any(len(next(iter(answer.values()))) for _, answer in asked):
        log.warning("the model finds no face on the pictures that are compared; --evaluate compares on those of the config")
    rows = []
    for name, folder in places.items():
        exported = load(folder)
        row: dict[str, Any] = {"format": name, "folder": folder.name if len(places) > 1 else ".", "runtime": RUNTIMES.get(name, "openvino")}
        try:
            row["difference"] = _difference(asked, exported, None if name.endswith("int8") else tolerance)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        row["ms"] = {str(threads): _p50(load(folder, threads=threads), asked[0][0]) for threads in dict.fromkeys((1, cores()))}
        row["bytes"] = sum(file.stat().st_size for file in folder.iterdir() if file.name == EXPORT or file.name.startswith(export.MODEL))
        if evaluators:
            row["metrics"] = measure(list(evaluators), exported)
        rows.append(row)
    batches = [list(batch["image"].shape) for batch, _ in asked]
    compared = {"batches": batches, "rows": [len(next(iter(answer.values()))) for _, answer in asked], "tolerance": tolerance}
    return {"compared": compared, "live": {"metrics": measure(list(evaluators), live)}, "formats": rows}


def _difference(asked: list, exported: Any, tolerance: float | None) -> float | None:
    """The largest difference; None if it is not limited, as the rows of INT8 detectors have no counterparts."""
    if tolerance is None:
        return None
    return max(export.compare(answer, exported(batch), tolerance) for batch, answer in asked)


def _p50(predict: Any, batch: dict[str, np.ndarray]) -> float:
    """Median latency of one picture in ms."""
    times: list[float] = []
    for _ in range(WARM_UP):
        predict(batch)
    began = time.perf_counter()
    while len(times) < RUNS and (not times or time.perf_counter() - began < SECONDS):
        start = time.perf_counter()
        predict(batch)
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times)), 3)


def table(found: dict[str, Any]) -> str:
    """The content of parity.json as aligned columns, the live model's metrics in the last row."""
    threads = list(found["formats"][0]["ms"])
    values = list(found["live"]["metrics"])
    head = ["format", "difference", *(f"ms, {count} thread{'s' * (count != '1')}" for count in threads), "MB", *values]
    lines = [head]
    for row in found["formats"]:
        apart = "-" if row["difference"] is None else f"{row['difference']:.1e}"
        measured = [f"{row['metrics'][name]:.4f}" for name in values]
        lines.append([row["format"], apart, *(f"{row['ms'][count]:.2f}" for count in threads), f"{row['bytes'] / 1e6:.1f}", *measured])
    if values:
        lines.append(["live model", *["-"] * (len(head) - len(values) - 1), *(f"{found['live']['metrics'][name]:.4f}" for name in values)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def store(found: dict[str, Any], folder: Path) -> None:
    """Writes parity.json."""
    (folder / FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
