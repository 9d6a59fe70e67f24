"""SIGTERM, SIGINT and SIGHUP to real tools at random moments, once or twice; trainings are then resumed."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import tiny

from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import verify
from ppface.core.files.checkpoint_folder import CheckpointFolder

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
LIMIT, AT_ONCE, PATIENCE = 30.0, 2.0, 1.0  # seconds until the exit, after a second signal, until all processes are gone
FAILURES = ("raceback", "Exception ignored", "FatalError", "Fatal Python", "leaked", "Aborted")
EVALUATES = "evaluators=[{name: FaceAP, dataset: {name: SyntheticFaces, length: 24, size: [64, 64], seed: 9}, batch_size: 8}]"
OPTIONS = ("trainer.iterations=24", "trainer.eval_every=8", EVALUATES)
MOMENTS = ("start", "train", "evaluate", "save")
Rng = np.random.Generator


@dataclass(frozen=True)
class Shot:
    """One signal, or two.

    Attributes:
        tool: train, eval or export.
        moment: what a training is doing; for the other tools "anytime", or "write": while an export is being written.
        number: the signal.
        group: whether it is sent to the whole process group, as by a terminal, or only to the process.
        twice: whether a second signal follows.
        workers: reading workers per training process.
        processes: data-parallel training processes.
    """

    tool: str
    moment: str
    number: int
    group: bool
    twice: bool = False
    workers: int = 0
    processes: int = 1


def long_plan(rng: Rng) -> list[Shot]:
    """Fifty shots: each moment of a training nine times, four of them with two processes and two with a second signal."""
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    shots = []
    for moment in MOMENTS:
        for i in range(9):
            number = numbers[int(rng.integers(len(numbers)))]
            shots.append(Shot("train", moment, number, i % 2 == 0, i % 4 == 3, workers=2 * (i % 3 > 0), processes=1 + (i >= 5)))
    for i in range(7):
        shots.append(Shot("eval", "anytime", numbers[i % 5], i % 2 == 0, i == 6))
        shots.append(Shot("export", "write" if i % 2 else "anytime", numbers[i % 5], i % 3 == 0, i == 6))
    return shots


FAST = [
    Shot("train", "train", signal.SIGTERM, group=True, workers=2),
    Shot("export", "write", signal.SIGINT, group=True),
]


@dataclass
class Figures:
    """Results of the signals, summed for the table."""

    shots: int = 0
    coded: int = 0
    slowest: float = 0.0
    others: int = 0
    second: int = 0
    slowest_second: float = 0.0
    orphans: int = 0
    shared_memory: set[str] = field(default_factory=set)  # names of new entries in /dev/shm
    leftovers: int = 0
    clean_words: int = 0
    trainings: int = 0
    of_the_step: int = 0  # trainings that left an intact checkpoint of the last step they logged
    sound: int = 0  # trainings with only intact checkpoints
    resumed: int = 0
    equal: int = 0
    equal_log: int = 0

    def add(self, other: "Figures") -> None:
        for name in (own.name for own in fields(self)):
            one, two = getattr(self, name), getattr(other, name)
            setattr(self, name, one | two if isinstance(one, set) else max(one, two) if name.startswith("slowest") else one + two)


@dataclass
class Material:
    """Inputs of the shots: an undisturbed run for each number of processes, and the run times of the other tools in seconds."""

    folder: Path
    undisturbed: dict[int, Path]
    seconds: dict[str, float]

    def command(self, tool: str, out: Path) -> list[str]:
        model, script = str(self.undisturbed[1]), {"eval": "eval.py", "export": "export_model.py"}[tool]
        rest = ["--json", f"{out}.json", "-o", "evaluators.0.dataset.length=96"] if tool == "eval" else ["--out", str(out)]
        return [str(tiny.ROOT / "tools" / script), model, *rest]


def prepare(folder: Path, shots: list[Shot]) -> Material:
    kinds = sorted({shot.processes for shot in shots} | {1})
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda count: tiny.whole(folder / f"whole{count}", *OPTIONS, f"processes={count}"), kinds)
        made = Material(folder, dict(zip(kinds, runs, strict=True)), {})
    for tool in sorted({shot.tool for shot in shots if shot.tool != "train" and shot.moment == "anytime"}):
        begun = time.monotonic()
        with tiny.Started(made.command(tool, folder / f"first_{tool}"), folder / f"first_{tool}") as done:
            assert done.wait() == 0, done.said()
        made.seconds[tool] = time.monotonic() - begun
    return made


def listens(process: tiny.Started) -> bool:
    """Whether it has installed its SIGTERM handler; before, the default action ends it."""
    with contextlib.suppress(OSError):
        caught = next(line for line in Path(f"/proc/{process.process.pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def wait_for(life: tiny.Started, done: Callable[[], object], seconds: float = 60, pause: float = 0.005) -> None:
    deadline = time.monotonic() + seconds
    while life.process.poll() is None and time.monotonic() < deadline and not done():
        time.sleep(pause)


def await_moment(shot: Shot, started: tiny.Started, out: Path, seconds: float, rng: Rng) -> None:
    """Waits for the moment of a shot; returns early if the tool ends."""
    wait_for(started, lambda: listens(started))
    if shot.moment in ("start", "anytime"):
        wait_for(started, lambda: False, rng.uniform(0, 4 if shot.tool == "train" else seconds))
    elif shot.moment == "write":
        wait_for(started, lambda: any(out.parent.glob(f".{out.name}.*")))
        time.sleep(rng.uniform(0, 0.5))
    elif shot.moment == "train":
        wanted = rng.integers(1, 20)
        wait_for(started, lambda: tiny.last_step(out) >= wanted)
        time.sleep(rng.uniform(0, 0.1))
    elif shot.moment == "evaluate":
        wanted = 8 * rng.integers(1, 4)
        wait_for(started, lambda: tiny.last_step(out) >= wanted)
        time.sleep(rng.uniform(0, 0.4))
    else:
        wanted = 3 * rng.integers(1, 8)
        wait_for(started, lambda: tiny.last_step(out) >= wanted)
        wait_for(started, lambda: any(out.glob("checkpoints/.step_*")), pause=0)
        time.sleep(rng.choice([0, 0.001, 0.003, 0.01]))


def send(shot: Shot, started: tiny.Started, number: int) -> float:
    """Sends the signal and returns the time."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.process.pid, number) if shot.group else os.kill(started.process.pid, number)
    return time.monotonic()


def in_shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def kept_by_others(names: set[str]) -> set[str]:
    """Names that a living process has open or mapped: other users' on a shared machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                links = {str(path.readlink()).removeprefix("/dev/shm/") for path in (entry / "fd").iterdir()}
                maps = (entry / "maps").read_text()
                found |= {name for name in names if name in links or f"/dev/shm/{name}" in maps}
    return found


def inspect(shot: Shot, started: tiny.Started, out: Path, before: set[str], figures: Figures) -> None:
    """Counts what is left after the exit: processes, shared memory, files."""
    figures.orphans += started.orphans(PATIENCE)
    figures.shared_memory |= in_shared_memory() - before
    if not shot.twice:
        figures.leftovers += len(list(started.scratch.iterdir())) + len(list(out.parent.glob(f".{out.name}.*")))
        figures.leftovers += len(list(out.glob("checkpoints/.*")))


def judge_training(shot: Shot, out: Path, made: Material, rng: Rng, figures: Figures) -> None:
    """Checks the remaining checkpoints, and the end of the run after resuming with a random number of workers."""
    logged, newest, sound = tiny.last_step(out), 0, True
    for path in sorted(out.glob("checkpoints/step_*")):
        try:
            verify(path)
            newest = int(path.name[5:13])
        except WeightsError as error:
            print(error, file=sys.stderr)
            sound = False
    figures.trainings += 1
    figures.sound += sound
    figures.of_the_step += newest == logged or (shot.twice and logged - newest <= tiny.SAVE_EVERY)
    with tiny.Life(out, *OPTIONS, f"processes={shot.processes}", f"train.workers={rng.choice([0, 2])}") as again:
        if again.wait() != 0:
            print(again.said(), file=sys.stderr)
            return
    figures.resumed += 1
    whole = made.undisturbed[shot.processes]
    ends = [tiny.content(CheckpointFolder(run / "checkpoints").find("last")) for run in (out, whole)]
    figures.equal += ends[0] == ends[1] and len(ends[0]) == 3
    figures.equal_log += tiny.log_lines(out) == tiny.log_lines(whole)


def start(shot: Shot, made: Material, out: Path) -> tiny.Started:
    if shot.tool == "train":
        return tiny.Life(out, *OPTIONS, f"processes={shot.processes}", f"train.workers={shot.workers}")
    return tiny.Started(made.command(shot.tool, out), out)


def hit(shot: Shot, started: tiny.Started, rng: Rng) -> tuple[int, set[int], float]:
    """(exit code, documented exit codes, seconds from the last signal to the exit)."""
    codes, sent = {CODES[shot.number]}, send(shot, started, shot.number)
    if shot.twice:
        time.sleep(rng.uniform(0.02, 0.3))
        if started.process.poll() is None:
            number = int(rng.choice(list(CODES)))
            codes, sent = codes | {CODES[number]}, send(shot, started, number)
    code = started.wait(120)
    return code if code >= 0 else 128 - code, codes, time.monotonic() - sent  # as a shell reports it


def fire(shot: Shot, made: Material, folder: Path, seed: int) -> Figures:
    figures, rng = Figures(shots=1), np.random.default_rng([seed, 1])
    folder.mkdir()
    out, hits = folder / "out", False
    while not hits:  # repeats if it ended before its moment
        shutil.rmtree(out, ignore_errors=True)
        before = in_shared_memory()
        with start(shot, made, out) as started:
            await_moment(shot, started, out, made.seconds.get(shot.tool, 0.0), rng)
            if hits := started.process.poll() is None:
                code, codes, seconds = hit(shot, started, rng)
                inspect(shot, started, out, before, figures)
    figures.coded = int(code in codes)
    figures.clean_words = int(not any(failure in started.said() for failure in FAILURES))
    prompt = shot.twice and shot.moment not in ("start", "anytime")  # Python handles no signal while Paddle's library loads
    if prompt:
        figures.second, figures.slowest_second = 1, seconds
    else:
        figures.others, figures.slowest = 1, seconds
    harm = figures.orphans or figures.leftovers
    if harm or not (figures.coded and figures.clean_words) or seconds > (AT_ONCE if prompt else LIMIT / 2):
        print(shot, f"{code} after {seconds:.2f} s", figures, started.said(), sep="\n", file=sys.stderr)
    if shot.tool == "train":
        judge_training(shot, out, made, rng, figures)
    shutil.rmtree(folder)
    return figures


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    shots = long_plan(np.random.default_rng(0)) if counts == "long" else FAST
    made, total = prepare(folder, shots), Figures()
    with ThreadPoolExecutor(2) as pool:
        for figures in pool.map(lambda i: fire(shots[i], made, folder / f"shot{i}", i), range(len(shots))):
            total.add(figures)
    left = total.shared_memory & in_shared_memory()  # others' entries on this machine come and go
    left -= kept_by_others(left)
    kinds = ", ".join(f"{sum(shot.tool == tool for shot in shots)} {tool}" for tool in ("train", "eval", "export"))
    return [
        (f"signals ({kinds}): ended with 130, 143 or 129 as documented", f"{total.coded} of {total.shots}", "all"),
        ("... longest time from the signal to the exit", f"{total.slowest:.1f} s of {total.others}", f"under {LIMIT:.0f} s"),
        (
            "... longest time after a second signal to a running training",
            f"{total.slowest_second:.1f} s of {total.second}",
            f"under {AT_ONCE:.0f} s",
        ),
        (f"processes left {PATIENCE:.0f} s after the exit", f"{total.orphans}", "0"),
        ("new entries in /dev/shm", f"{len(left)}", "0"),
        ("temporary files left by one signal", f"{total.leftovers}", "0"),
        ("no traceback in the output", f"{total.clean_words} of {total.shots}", "all"),
        ("trainings with only intact checkpoints", f"{total.sound} of {total.trainings}", "all"),
        ("... the newest one of the last finished step", f"{total.of_the_step} of {total.trainings}", "all"),
        ("... bit-equal to an undisturbed one after resuming", f"{total.equal} of {total.trainings}", "all"),
        ("... with the same log, except for times", f"{total.equal_log} of {total.trainings}", "all"),
    ]
