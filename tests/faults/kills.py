"""kill -9 of real runs at any time, after a random step, and during a save; each is then resumed and killed again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import tiny

from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import verify
from ppface.core.files.checkpoint_folder import CheckpointFolder

Rng = np.random.Generator
BIT_EQUAL = "... killed runs that end bit-equal (weights, optimizer, average, loss state) to an undisturbed one"


@dataclass(frozen=True)
class Plan:
    """One kind of run.

    Attributes:
        workers: numbers of loader workers, one of which is drawn for each start.
        processes: data-parallel processes.
        iterations: length of the run in steps.
        kills: number of kills.
        config: config of the run.
    """

    workers: tuple[int, ...]
    processes: int
    iterations: int
    kills: int
    config: str = tiny.CONFIG


PLANS = {
    "long": [Plan((0,), 1, 60, 50), Plan((0, 2), 1, 60, 60), Plan((0, 2), 1, 60, 40, tiny.RECOGNITION), Plan((0, 2), 2, 40, 50)],
    "fast": [Plan((0, 2), 1, 12, 2), Plan((0, 2), 1, 12, 2, tiny.RECOGNITION)],
}


@dataclass
class Figures:
    """Results of the kills, summed over all plans for the table."""

    kills: int = 0
    during_save: int = 0
    checkpoints: int = 0
    corrupt: int = 0
    lost: int = 0  # steps, maximum
    orphans: int = 0
    refused: int = 0  # starts that exited with an error
    runs: int = 0
    equal: int = 0
    equal_losses: int = 0

    def add(self, other: "Figures") -> None:
        for field in fields(self):
            pair = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, max(pair) if field.name == "lost" else sum(pair))


def step_of(folder: Path) -> int:
    """The step of the newest intact checkpoint, 0 without any."""
    try:
        return int(CheckpointFolder(folder / "checkpoints").find("last").name.split("_")[1])
    except WeightsError:
        return 0


def saving(folder: Path) -> bool:
    """Whether a save or removal is in progress, or was interrupted."""
    return any(folder.glob("checkpoints/.step_*"))


def moment(life: tiny.Life, rng: Rng) -> None:
    """Waits for the moment to kill; returns early if the run ends."""
    kind = rng.choice(["anytime", "step", "save"], p=[0.25, 0.3, 0.45])
    if kind == "anytime":
        wait_for(life, lambda: False, rng.uniform(0, 4))
    elif kind == "step":
        start, more = step_of(life.folder), rng.integers(1, 2 * tiny.SAVE_EVERY)
        wait_for(life, lambda: tiny.last_step(life.folder) == start + more, 60, 0.005)
        time.sleep(rng.uniform(0, 0.08))
    else:
        if rng.random() < 0.5:  # the second save after this start
            start = step_of(life.folder)
            wait_for(life, lambda: any(life.folder.glob(f"checkpoints/step_{start + tiny.SAVE_EVERY:08d}")), 60, 0.002)
        wait_for(life, lambda: saving(life.folder), 60, 0.0)
        time.sleep(rng.choice([0, 0.001, 0.003, 0.01]))


def wait_for(life: tiny.Life, done: Callable[[], object], seconds: float, pause: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while life.process.poll() is None and time.monotonic() < deadline and not done():
        time.sleep(pause)


def kill(life: tiny.Life, processes: int, rng: Rng) -> None:
    """kill -9 of one process of the run, or of its whole process group."""
    victims = [life.process.pid]
    if processes > 1:
        children = Path(f"/proc/{life.process.pid}/task/{life.process.pid}/children")
        victims += [int(pid) for pid in children.read_text().split()] if children.is_file() else []
    place = int(rng.integers(len(victims) + 1))
    if place == len(victims):
        os.killpg(life.process.pid, signal.SIGKILL)
    else:
        life.kill(victims[place])


def live_and_die(folder: Path, plan: Plan, rng: Rng, figures: Figures) -> bool:
    """One start and its kill; True if the run ended before the kill."""
    options = [f"trainer.iterations={plan.iterations}", f"processes={plan.processes}", f"train.workers={rng.choice(plan.workers)}"]
    with tiny.Life(folder, *options, config=plan.config) as life:
        moment(life, rng)
        if (code := life.process.poll()) is None:
            kill(life, plan.processes, rng)
            figures.kills += 1
        elif code:
            figures.refused += 1
            print(life.said(), file=sys.stderr)
        figures.orphans += life.orphans()
    figures.during_save += saving(folder)
    for path in folder.glob("checkpoints/step_*"):
        figures.checkpoints += 1
        try:
            verify(path)
        except WeightsError as error:
            figures.corrupt += 1
            print(error, file=sys.stderr)
    figures.lost = max(figures.lost, tiny.last_step(folder) - step_of(folder))
    return code is not None


def compare(folder: Path, undisturbed: Path, plan: Plan, figures: Figures) -> None:
    """Compares a run with one that was never killed: final tensors byte for byte, and all logged losses."""
    figures.runs += 1
    ends = [tiny.content(CheckpointFolder(run / "checkpoints").find("last")) for run in (folder, undisturbed)]
    figures.equal += ends[0] == ends[1] and len(ends[0]) == (4 if "CenterLoss" in plan.config else 3)
    figures.equal_losses += tiny.losses(folder) == tiny.losses(undisturbed)


def carry_out(plan: Plan, folder: Path, seed: int) -> Figures:
    """Runs and kills until the plan's number of kills is reached; the last run is then completed."""
    figures, rng = Figures(), np.random.default_rng(seed)
    folder.mkdir()
    options = [f"trainer.iterations={plan.iterations}", f"processes={plan.processes}"]
    undisturbed = tiny.whole(folder / "undisturbed", *options, config=plan.config)
    while figures.kills < plan.kills:
        shutil.rmtree(folder / "run", ignore_errors=True)
        ended = False
        while not ended and figures.kills < plan.kills:
            ended = live_and_die(folder / "run", plan, rng, figures)
        if not ended or step_of(folder / "run") < plan.iterations:
            tiny.whole(folder / "run", *options, config=plan.config)
        compare(folder / "run", undisturbed, plan, figures)
    return figures


def kill_saves(folder: Path) -> list[tuple[str, str, str]]:
    """One save, killed at each of its file operations."""
    command = [sys.executable, str(Path(__file__).with_name("killed_saves.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(tiny.ROOT)})
    kills, sound, swept = done.stdout.split()
    return [
        ("kill -9 at every file operation of a save: all checkpoints intact", f"{sound} of {kills}", "all"),
        ("... leftovers removed by the next save", f"{swept} of {kills}", "all"),
    ]


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    total, plans = Figures(), PLANS[counts]
    with ThreadPoolExecutor(2) as pool:
        for figures in pool.map(carry_out, plans, [folder / f"plan{i}" for i in range(len(plans))], range(len(plans))):
            total.add(figures)
    return [
        (
            f"kills of runs, {total.during_save} of them during a save: corrupt checkpoints of {total.checkpoints}",
            f"{total.corrupt}",
            "0",
        ),
        (f"maximum steps lost in {total.kills} kills", f"{total.lost}", f"at most {tiny.SAVE_EVERY}, the interval"),
        ("starts after a kill that failed", f"{total.refused}", "0"),
        ("processes left behind", f"{total.orphans}", "0"),
        (BIT_EQUAL, f"{total.equal} of {total.runs}", "all"),
        ("... killed runs that logged each step once, with the same losses", f"{total.equal_losses} of {total.runs}", "all"),
        *kill_saves(folder / "saves"),
    ]
