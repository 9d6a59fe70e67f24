"""Real runs that are repeatedly stopped by SIGTERM after random steps, and resumed with other numbers of reading workers or processes."""

import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tiny

from ppface.core.files.checkpoint_folder import CheckpointFolder

Rng = np.random.Generator
CONFIGS = {"detection": tiny.CONFIG, "recognition": tiny.RECOGNITION}


@dataclass(frozen=True)
class Plan:
    """One run, and the undisturbed run that it is compared with.

    Attributes:
        task: key of CONFIGS.
        processes: numbers of processes, used in turn by the starts; only with a single number is the end bit-equal.
        options: overrides, such as gradient accumulation and log lines over several steps.
        iterations: length of the run in steps.
    """

    task: str
    processes: tuple[int, ...]
    options: tuple[str, ...] = ()
    iterations: int = 20


ODD = ("trainer.accumulate=3", "trainer.log_every=4")  # steps cross epochs of 8 or 9 batches, log lines cross stops
PLANS = {
    "long": [
        Plan(task, processes, options) for task in CONFIGS for processes in ((1,), (2,)) for options in (("trainer.iterations=20",), ODD)
    ]
    + [Plan(task, processes) for task in CONFIGS for processes in ((1, 2), (2, 1))],
    "fast": [Plan("detection", (1,), ODD, iterations=12)],
}


@dataclass
class Outcome:
    stops: int = 0
    ended: bool = False
    equal: bool = False
    equal_log: bool = False
    whole_log: bool = False


def carry_out(plan: Plan, folder: Path, seed: int) -> Outcome:
    outcome, rng, run = Outcome(), np.random.default_rng(seed), folder / "run"
    folder.mkdir()
    config, fixed = CONFIGS[plan.task], [*plan.options, f"trainer.iterations={plan.iterations}"]
    never = tiny.whole(folder / "never", *fixed, f"processes={plan.processes[0]}", config=config)
    step_seconds = seconds_per_step(never)
    while not outcome.ended:
        options = [
            *fixed,
            f"processes={plan.processes[outcome.stops % len(plan.processes)]}",
            f"train.workers={rng.choice([0, 2, 4])}",
        ]
        resumed = newest_step(run) > 0
        with tiny.Life(run, *options, config=config) as life:
            while life.process.poll() is None and not ("resumed at" in life.said() if resumed else (run / "log.jsonl").is_file()):
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 8 * step_seconds))
            life.process.terminate()
            code = life.wait()
        outcome.ended = newest_step(run) == plan.iterations
        outcome.stops += not outcome.ended
        if code not in (0, 143):
            print(plan, code, life.said(), sep="\n", file=sys.stderr)
            return outcome
    ends = [tiny.content(CheckpointFolder(path / "checkpoints").find("last")) for path in (run, never)]
    outcome.equal = ends[0] == ends[1] and len(ends[0]) == 3
    outcome.equal_log = tiny.log_lines(run) == tiny.log_lines(never)
    outcome.whole_log = [line["step"] for line in tiny.log_lines(run)] == [line["step"] for line in tiny.log_lines(never)]
    shutil.rmtree(folder)
    return outcome


def seconds_per_step(run: Path) -> float:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return (lines[-1]["time"] - lines[0]["time"]) / (lines[-1]["step"] - lines[0]["step"])


def newest_step(run: Path) -> int:
    """The step of the newest checkpoint, 0 without any."""
    return max((int(path.name[5:13]) for path in run.glob("checkpoints/step_*")), default=0)


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    plans = PLANS[counts]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(carry_out, plans, [folder / f"plan{i}" for i in range(len(plans))], range(len(plans))))
    same = [outcome for plan, outcome in zip(plans, outcomes, strict=True) if len(plan.processes) == 1]
    other = [outcome for plan, outcome in zip(plans, outcomes, strict=True) if len(plan.processes) > 1]
    stops = sum(outcome.stops for outcome in same)
    rows = [
        (
            f"runs stopped {stops} times, other workers each time: bit-equal at the end",
            f"{sum(o.equal for o in same)} of {len(same)}",
            "all",
        ),
        ("... with the same log, except for times", f"{sum(o.equal_log for o in same)} of {len(same)}", "all"),
    ]
    if other:
        stops = sum(outcome.stops for outcome in other)
        figure = f"{sum(o.ended and o.whole_log for o in other)} of {len(other)}"
        rows.append((f"runs stopped {stops} times, other processes each time: completed, each step logged once", figure, "all"))
    return rows
