"""A real run small enough to be started hundreds of times: its config, its start, and its log and checkpoints."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
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

RECOGNITION = f"""
_BASE_: {ROOT}/configs/quickstart/recognition.yml
model:
  backbone: {{embedding_size: 32}}
  head: {{embedding_size: 32, sample_ratio: 0.7}}
loss: [{{name: CELoss}}, {{name: CenterLoss, embedding_size: 32}}]
train:
  dataset: {{identities: 12, images: 3, difficulty: 0.0}}
  batch_size: 4
evaluators: []
optimizer: {{learning_rate: {{warmup_steps: 3}}}}
trainer: {{epochs: null, iterations: 60, ema: 0.9, save_every: {SAVE_EVERY}, log_every: 1}}
"""


class Started:
    """A started command that can be watched, signalled, killed or awaited.

    Attributes:
        process: the command, leader of a session and process group of all it starts, except data-parallel training processes.
        scratch: the folder for its temporary files.
    """

    def __init__(self, command: list[str], beside: Path):
        """Starts the command.

        Args:
            command: Python's arguments.
            beside: path whose stem names the files of its output and its temporary files.
        """
        self._said, self.scratch = beside.with_suffix(".err"), beside.with_suffix(".tmp")
        self.scratch.mkdir(exist_ok=True)
        self._mark = f"FAULTS_COMMAND={uuid.uuid4()}"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TMPDIR": str(self.scratch)}
        environment |= [self._mark.split("=")]
        with self._said.open("wb") as said:
            # default SIGHUP handling, as from a terminal, even if the tests run under nohup
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    def __enter__(self):
        return self

    def __exit__(self, *_exception) -> None:
        """Kills all processes of the command that are still alive."""
        if self.process.poll() is None:
            for pid in [self.process.pid, *self.processes()]:
                self.kill(pid)
            self.process.wait()

    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def wait(self, seconds: float = 300) -> int:
        """Waits for the command to end and returns its exit code."""
        return self.process.wait(seconds)

    def processes(self) -> list[int]:
        """All living processes of this command: those with its mark in their environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    marked = self._mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                except OSError:  # it has ended, or belongs to another user
                    continue
                if marked:  # the environment of a zombie is empty
                    found.append(int(entry.name))
        return found

    def kill(self, pid: int | None = None) -> None:
        """kill -9 of one process, by default the one that was started."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid or self.process.pid, signal.SIGKILL)

    def orphans(self, patience: float = 20.0) -> int:
        """Kills the processes still alive `patience` seconds after the end, and returns their number."""
        self.process.wait(patience)
        deadline = time.monotonic() + patience
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            self.kill(pid)
        return len(left)


class Life(Started):
    """One start of a run."""

    def __init__(self, folder: Path, *options: str, beside: Path | None = None, config: str = CONFIG):
        """Starts the run in `folder`, or resumes it if it has a checkpoint.

        Args:
            folder: folder of the run.
            options: overrides of the config.
            beside: path whose stem names the files of its config and output; default: `folder`.
            config: config of a new run.
        """
        beside = beside or folder
        file = beside.with_suffix(".yml")
        file.write_text(config)
        if any(folder.glob("checkpoints/step_*")):
            source = ["--resume", str(folder)]
        else:
            shutil.rmtree(folder, ignore_errors=True)
            source = ["-c", str(file), "--folder", str(folder)]
        self.folder = folder
        super().__init__([str(ROOT / "tools" / "train.py"), *source, "-o", "processes=1", "device=cpu", *options], beside)


def losses(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, losses) of every complete line of the run's log."""
    file = folder / "log.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("}\n")]
    return [(record["step"], {key: value for key, value in record.items() if key.startswith("loss/")}) for record in records]


def last_step(folder: Path) -> int:
    """The last step in the run's log, 0 without any."""
    return max((step for step, _ in losses(folder)), default=0)


def log_lines(folder: Path) -> list[dict[str, float]]:
    """The lines of the run's log without timing values."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    times = ("time", "images_per_s", "data_wait")
    return [{key: value for key, value in json.loads(line).items() if key not in times} for line in lines]


def whole(folder: Path, *options: str, config: str = CONFIG) -> Path:
    """Runs an undisturbed training to its end."""
    with Life(folder, *options, config=config) as life:
        assert life.wait() == 0, life.said()
    return folder


def content(checkpoint: Path) -> dict[str, bytes]:
    """The tensor files of a checkpoint, byte for byte."""
    return {file.name: file.read_bytes() for file in sorted(checkpoint.glob("*.safetensors"))}
