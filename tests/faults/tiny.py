"""A real run that is small enough to be started hundreds of times: its config, its start, and what is left of it afterwards."""

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
    """A command that was started, to be watched, signalled, killed or awaited.

    Attributes:
        process: it; also the session and the group of what it starts, but for the processes that it launches to train in parallel.
        scratch: the folder for its temporary files.
    """

    def __init__(self, command: list[str], beside: Path):
        """Starts it.

        Args:
            command: Python's arguments.
            beside: what it says, and its temporary files, are kept under names of this stem.
        """
        self._said, self.scratch = beside.with_suffix(".err"), beside.with_suffix(".tmp")
        self.scratch.mkdir(exist_ok=True)
        self._mark = f"FAULTS_COMMAND={uuid.uuid4()}"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TMPDIR": str(self.scratch)}
        environment |= [self._mark.split("=")]
        with self._said.open("wb") as said:
            # as a terminal starts it, though this command was started by nohup
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
        """Whatever became of it, and of whoever watches it: nothing of it lives on."""
        if self.process.poll() is None:
            for pid in [self.process.pid, *self.processes()]:
                self.kill(pid)
            self.process.wait()

    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def wait(self, seconds: float = 300) -> int:
        """The exit code of a command that is left to its end."""
        return self.process.wait(seconds)

    def processes(self) -> list[int]:
        """All processes of this command that live: those with its mark in the environment they were started with."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    marked = self._mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                except OSError:  # it ended meanwhile, or is another user's
                    continue
                if marked:  # of a process that has ended and is not yet awaited, it is empty
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


class Life(Started):
    """One start of a run."""

    def __init__(self, folder: Path, *options: str, beside: Path | None = None, config: str = CONFIG):
        """Starts the run in `folder`, or goes on with the one that is there; one that has no checkpoint yet begins anew.

        Args:
            folder: the run's.
            options: overrides of the config.
            beside: where its config and what it said are kept, by default beside `folder`, under names of this stem.
            config: of a new run.
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
    """(step, losses) of every line of the run's log that is whole."""
    file = folder / "log.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("}\n")]
    return [(record["step"], {key: value for key, value in record.items() if key.startswith("loss/")}) for record in records]


def last_step(folder: Path) -> int:
    """The last step that the run's log tells of, 0 without any."""
    return max((step for step, _ in losses(folder)), default=0)


def told(folder: Path) -> list[dict[str, float]]:
    """The lines of the run's log without what depends on time."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    times = ("time", "images_per_s", "data_wait")
    return [{key: value for key, value in json.loads(line).items() if key not in times} for line in lines]


def whole(folder: Path, *options: str, config: str = CONFIG) -> Path:
    """A run that nobody disturbs, after its end."""
    with Life(folder, *options, config=config) as life:
        assert life.wait() == 0, life.said()
    return folder


def content(checkpoint: Path) -> dict[str, bytes]:
    """The tensor files of a checkpoint, byte for byte."""
    return {file.name: file.read_bytes() for file in sorted(checkpoint.glob("*.safetensors"))}
