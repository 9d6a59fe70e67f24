"""The log of a training run: a progress bar, a JSONL file and VisualDL scalars."""

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ppface.core.files.atomic_write import replace_text
from ppface.core.run.log import log

LINES, CURVES = "log.jsonl", "vdl"


class Journal:
    """Writes `log.jsonl` and `vdl/` into the run's folder and shows the progress.

    A line covers the steps since the previous line, whatever was saved, evaluated or resumed in between: a run that was stopped and
    resumed logs the same losses as one that was not.

    Args:
        folder: the run's, or None for a process that only trains along.
        total: steps of the whole run.
        start: steps already done.
        every: a line follows each step that this divides, and the last.
        images: images a step, over all processes.
        window: of `window`, where a run is resumed between two lines.

    Attributes:
        window: what has been added up since the last line: plain values, for a checkpoint.
    """

    def __init__(self, folder: Path | None, total: int, start: int, every: int, images: int, window: dict[str, Any] | None = None):
        self.silent, self.every, self.images = folder is None, every, images
        self.window = window or {"steps": 0, "sums": {}}
        self._restart_clock()
        if folder is None:
            return
        self._lines = Lines(folder / LINES, start)
        self._board = _board(folder / CURVES)
        self._bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, disable=not sys.stderr.isatty())

    def step(self, step: int, losses: dict[str, float], rate: float, waited: float) -> None:
        """One step is done: `losses` by name (none of a step that was skipped), the learning rate, and the seconds it waited for data."""
        if self.silent:
            return
        self._bar.update()
        self._steps += 1
        self._waited += waited
        sums = self.window["sums"]
        self.window["steps"] += bool(losses)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value
        if step % self.every and step < self._bar.total:
            return
        seconds = time.perf_counter() - self._since
        means = {f"loss/{name}": total / self.window["steps"] for name, total in sums.items()}
        speed = {"images_per_s": self._steps * self.images / seconds, "data_wait": self._waited / seconds}
        self.write(step, means | {"learning_rate": rate} | speed)
        left = (self._bar.total - step) * seconds / self._steps
        shown = " ".join(f"{name.removeprefix('loss/')} {value:.4f}" for name, value in means.items())
        tail = f"{speed['images_per_s']:.1f} images/s, {speed['data_wait']:.0%} waiting for data, {_duration(left)} left"
        if self._bar.disable:
            log.info("step %d/%d %s, %s", step, self._bar.total, shown, tail)
        else:
            self._bar.set_postfix_str(f"{shown}, {tail}")
        self.window = {"steps": 0, "sums": {}}
        self._restart_clock()

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One line of the JSONL file and one point of each VisualDL curve."""
        if self.silent:
            return
        written = self._lines.add(json.dumps({"step": step, "time": round(time.time(), 3), **values}))
        if not written:
            self._board = None  # VisualDL waits for a thread of its own, which ends on such an error
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time within the block (an evaluation, a save) does not count as training time."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - before

    def _restart_clock(self) -> None:
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()

    def close(self) -> None:
        if self.silent:
            return
        self._bar.close()
        self._lines.close()
        if self._board is not None:
            self._board.close()


class Lines:
    """The log as a file of lines. A full disk does not end a training: lines wait until there is room again.

    Args:
        file: lines beyond step `start`, of a run that was interrupted after its last checkpoint, are removed from it.
        start: steps already done.
    """

    def __init__(self, file: Path, start: int):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if file.is_file() else []
        replace_text(file, "".join(line for line in lines if _step(line) <= start))
        self.file, self._waiting = file, b""
        self._handle = file.open("r+b", buffering=0)
        self._end = self._handle.seek(0, os.SEEK_END)

    def add(self, line: str) -> bool:
        """Writes a line, after those that wait; returns whether all are written."""
        waited = bool(self._waiting)
        self._waiting += line.encode() + b"\n"
        try:
            self._handle.seek(self._end)
            if (count := self._handle.write(self._waiting)) < len(self._waiting):
                raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} after {count} bytes")
        except OSError as error:
            self._handle.truncate(self._end)
            if not waited:
                effect = "training continues, log lines wait until there is room, and the curves of VisualDL end here"
                log.error("%s: cannot write the log: %s: %s", self.file, error.strerror, effect)
            return False
        self._end += len(self._waiting)
        self._waiting = b""
        return True

    def close(self) -> None:
        if self._waiting:
            log.error("%s: %d lines could not be written", self.file, self._waiting.count(b"\n"))
        self._handle.close()


def _step(line: str) -> float:
    """The step of a line of the log; infinity for a line that was cut or damaged, so that it is removed."""
    try:
        return float(json.loads(line)["step"]) if line.endswith("}\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _board(folder: Path) -> Any:
    try:
        from visualdl import LogWriter
    except ImportError:
        log.warning("visualdl is not installed: scalars are in log.jsonl only")
        return None
    except OSError as error:  # it writes its settings into the user's home when it is imported
        log.warning("visualdl cannot be imported (%s): scalars are in log.jsonl only", error)
        return None
    return LogWriter(str(folder))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
