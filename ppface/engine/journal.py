"""What a run tells while it trains: a progress bar, a JSONL file and VisualDL scalars."""

import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from ppface.core.log import log


class Journal:
    """Writes `log.jsonl` and `vdl/` into the run's folder and shows the progress.

    Args:
        folder: the run's, or None for a process that only trains along.
        total: steps of the whole run.
        start: steps already done.
        every: steps between two lines.
        images: images a step, over all processes.
    """

    def __init__(self, folder: Path | None, total: int, start: int, every: int, images: int):
        self.silent, self.every, self.images = folder is None, every, images
        self.skip_time()
        if folder is None:
            return
        self._file = _reopened(folder / "log.jsonl", start)
        self._board = _board(folder / "vdl")
        self._bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, disable=not sys.stderr.isatty())

    def step(self, step: int, losses: dict[str, float], rate: float, waited: float) -> None:
        """One step is done: `losses` by name (none of a step that was skipped), the learning rate, and the seconds it waited for data."""
        if self.silent:
            return
        self._bar.update()
        self._steps += 1
        self._counted += bool(losses)
        self._waited += waited
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self._steps < self.every and step < self._bar.total:
            return
        seconds = time.perf_counter() - self._since
        means = {f"loss/{name}": total / self._counted for name, total in self._sums.items()}
        speed = {"images_per_s": self._steps * self.images / seconds, "data_wait": self._waited / seconds}
        self.write(step, means | {"learning_rate": rate} | speed)
        left = (self._bar.total - step) * seconds / self._steps
        shown = " ".join(f"{name.removeprefix('loss/')} {value:.4f}" for name, value in means.items())
        tail = f"{speed['images_per_s']:.1f} images/s, {speed['data_wait']:.0%} waiting for data, {_duration(left)} left"
        if self._bar.disable:
            log.info("step %d/%d %s, %s", step, self._bar.total, shown, tail)
        else:
            self._bar.set_postfix_str(f"{shown}, {tail}")
        self.skip_time()

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One line of the JSONL file and one point of each VisualDL curve."""
        if self.silent:
            return
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3), **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def skip_time(self) -> None:
        """What happened since the last line (an evaluation, a save) does not count as training time."""
        self._sums: dict[str, float] = {}
        self._steps, self._counted, self._waited, self._since = 0, 0, 0.0, time.perf_counter()

    def close(self) -> None:
        if self.silent:
            return
        self._bar.close()
        self._file.close()
        if self._board is not None:
            self._board.close()


def _reopened(file: Path, start: int) -> TextIO:
    """The log, ready for the step after `start`: what a run that was broken off wrote beyond its last checkpoint is taken out."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.is_file() else []
    kept = [line for line in lines if line.endswith("}\n") and json.loads(line)["step"] <= start]
    file.write_text("".join(kept), encoding="utf-8")
    return file.open("a", encoding="utf-8")


def _board(folder: Path) -> Any:
    try:
        from visualdl import LogWriter
    except ImportError:
        log.warning("visualdl is not installed: scalars are in log.jsonl only")
        return None
    return LogWriter(str(folder))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
