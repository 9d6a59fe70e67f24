"""A real run that is small enough to be started hundreds of times: its config, its start, and what is left of it afterwards."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAVE_EVERY = 3
CONFIG = f"""
_BASE_: {ROOT}/configs/quickstart/detection.yml
model:
  input: {{size: [64, 64]}}
  backbone:
    blaze_filters: [[4, 4], [4, 8, 2], [8, 8]]
    double_blaze_filters: [[8, 4, 8, 2], [8, 4, 8], [8, 4, 8, 2], [8, 4, 8]]
    stem_kernel: 3
train:
  dataset: {{length: 32, size: [64, 64]}}
  batch_size: 4
  transforms:
    - {{name: Flip}}
    - {{name: Resize, size: [64, 64]}}
evaluators: []
optimizer: {{name: Adam, learning_rate: {{name: Cosine, base: 0.006, warmup_steps: 3}}}}
trainer: {{epochs: null, iterations: 60, ema: 0.9, save_every: {SAVE_EVERY}, log_every: 1}}
"""


class Life:
    """One start of a run, to be watched, killed or awaited.

    Attributes:
        process: the started command; its process id is the session of everything it starts.
    """

    def __init__(self, folder: Path, *options: str, beside: Path | None = None):
        """Starts the run in `folder`, or goes on with the one that is there; one that has no checkpoint yet begins anew.

        Args:
            folder: the run's.
            options: overrides of the config.
            beside: where its config and what it said are kept, by default beside `folder`, under names of this stem.
        """
        beside = beside or folder
        config = beside.with_suffix(".yml")
        config.write_text(CONFIG)
        if any(folder.glob("checkpoints/step_*")):
            source = ["--resume", str(folder)]
        else:
            shutil.rmtree(folder, ignore_errors=True)
            source = ["-c", str(config), "--folder", str(folder)]
        command = [sys.executable, str(ROOT / "tools" / "train.py"), *source, "-o", "processes=1", "device=cpu", *options]
        self.folder, self._said = folder, beside.with_suffix(".err")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)

    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def wait(self, seconds: float = 300) -> int:
        """The exit code of a run that is left to its end."""
        return self.process.wait(seconds)

    def processes(self) -> list[int]:
        """All processes of this run that live: those of its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:  # it ended meanwhile
                    continue
                if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                    found.append(int(entry.name))
        return found

    def kill(self, pid: int | None = None) -> None:
        """kill -9 of one process, by default the one that was started."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid or self.process.pid, signal.SIGKILL)

    def orphans(self, patience: float = 20.0) -> int:
        """Processes that still live this many seconds after the end; they are ended then."""
        self.process.wait(patience)
        deadline = time.monotonic() + patience
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            self.kill(pid)
        return len(left)


def losses(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, losses) of every line of the run's log that is whole."""
    file = folder / "log.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("}\n")]
    return [(record["step"], {key: value for key, value in record.items() if key.startswith("loss/")}) for record in records]


def whole(folder: Path, *options: str) -> Path:
    """A run that nobody disturbs, after its end."""
    life = Life(folder, *options)
    assert life.wait() == 0, life.said()
    return folder


def content(checkpoint: Path) -> dict[str, bytes]:
    """The tensor files of a checkpoint, byte for byte."""
    return {file.name: file.read_bytes() for file in sorted(checkpoint.glob("*.safetensors"))}
