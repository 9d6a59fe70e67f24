"""Reading workers of real runs that are killed, crash or hang at random moments: the run's error message, and what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import tiny
from signals import in_shared_memory, kept_by_others

from ppface.core.errors import DataError

HERE = Path(__file__).resolve().parent
LIMIT = 10.0  # seconds until a death is reported
TIMEOUT = 3  # seconds, train.timeout of the runs with a SIGSTOPped worker
MESSAGE = re.compile(r"reading worker (\d) of 2 \(process (\d+)\) (.*) (?:while|after) [^;]*?sample (\d+) \(synthetic-\d+-\4\)")
SMALL = 'mount -t tmpfs -o size=1m faults /dev/shm && exec "$0" "$@"'
IN_SMALL = f"import os, sys; os.execvp('unshare', ['unshare', '-rm', 'sh', '-c', {SMALL!r}, sys.executable, *sys.argv[1:]])"


@dataclass(frozen=True)
class Kill:
    """One killed or stopped worker.

    Attributes:
        number: the signal sent to one worker.
        processes: data-parallel training processes, with two workers each.
        small: whether /dev/shm has only one megabyte.
    """

    number: int
    processes: int = 1
    small: bool = False


def plan(counts: str) -> list[Kill]:
    if counts == "fast":
        return [Kill(signal.SIGKILL), Kill(signal.SIGSTOP)]
    kills = [Kill(number) for number in [signal.SIGKILL] * 8 + [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTERM]]
    kills += [Kill(signal.SIGSTOP)] * 3 + [Kill(signal.SIGKILL, processes=2)] * 3 + [Kill(signal.SIGSEGV, processes=2)]
    return [*kills, Kill(signal.SIGKILL, small=can_unshare())]


def can_unshare() -> bool:
    return subprocess.run(["unshare", "-rm", "sh", "-c", SMALL.partition(" && ")[0]], capture_output=True).returncode == 0


@dataclass
class Figures:
    """Results of the kills, summed for the table."""

    kills: int = 0
    named: int = 0
    coded: int = 0
    hinted: int = 0
    small: int = 0
    clean: int = 0
    orphans: int = 0
    shared_memory: int = 0
    slowest: float = 0.0

    def add(self, other: "Figures") -> None:
        for field in fields(self):
            pair = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, max(pair) if field.name == "slowest" else sum(pair))


def start(kill: Kill, folder: Path) -> tiny.Started:
    """Starts a run that does not end by itself."""
    (folder / "read").mkdir(parents=True)
    config = folder / "config.yml"
    config.write_text(tiny.CONFIG)
    options = ["train.workers=2", "train.dataset.length=512", "trainer.iterations=100000", "trainer.save_every=0", "device=cpu"]
    options += [f"processes={kill.processes}", f"train.timeout={TIMEOUT if kill.number == signal.SIGSTOP else 300}"]
    command = [str(HERE / "watched_train.py"), "-c", str(config), "--folder", str(folder / "run"), "-o", *options]
    if kill.small:
        command = ["-c", IN_SMALL, *command]
    return tiny.Started(command, folder / "run")


def victim(started: tiny.Started, folder: Path, kill: Kill, rng: np.random.Generator) -> int | None:
    """A worker of the running training, at a random moment; None if the run ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and started.process.poll() is None:
        workers = sorted(int(file.name) for file in (folder / "read").iterdir())
        if len(workers) == 2 * kill.processes and tiny.last_step(folder / "run") > 0:
            time.sleep(rng.uniform(0, 1.5))
            return int(rng.choice(workers))
        time.sleep(0.05)
    return None


def names(kill: Kill, pid: int, output: str, folder: Path) -> bool:
    """Whether the output names this process, what happened to it, and the sample it actually read last."""
    if kill.number == signal.SIGSTOP:
        how = rf"\D*\b{TIMEOUT} s"  # the timeout in seconds
    else:
        how = rf"was killed by signal {kill.number} \({signal.Signals(kill.number).name}\)"
    match = MESSAGE.search(output)
    if match is None or not re.fullmatch(how, match[3]):
        return False
    return (int(match[2]), int(match[4])) == (pid, int((folder / "read" / str(pid)).read_text()))


def carry_out(kill: Kill, folder: Path, seed: int) -> Figures:
    figures, rng = Figures(kills=1, small=kill.small), np.random.default_rng(seed)
    before = in_shared_memory()
    with start(kill, folder) as started:
        pid = victim(started, folder, kill, rng)
        if pid is not None:
            os.kill(pid, kill.number)
        at = time.monotonic()
        while "reading worker" not in started.said() and started.process.poll() is None and time.monotonic() < at + 60:
            time.sleep(0.02)
        figures.slowest = time.monotonic() - at
        figures.coded = started.wait(60) == DataError.exit_code
        figures.orphans = started.orphans(1.0)
        output = started.said()
    figures.named = pid is not None and names(kill, pid, output, folder)
    figures.hinted = kill.small and "; /dev/shm is small: 0 of 1 MB are free (docker run --shm-size=1g gives more); " in output
    figures.clean = "raceback" not in output and output.count("reading worker") == 1
    new = in_shared_memory() - before
    figures.shared_memory = len(new - kept_by_others(new)) if new else 0
    if not (figures.named and figures.coded and figures.clean):
        print(f"workers: {kill}, process {pid}:\n{output}", file=sys.stderr)
    return figures


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    total, kills = Figures(), plan(counts)
    with ThreadPoolExecutor(2) as pool:
        for figures in pool.map(carry_out, kills, [folder / f"{i:02d}" for i in range(len(kills))], range(len(kills))):
            total.add(figures)
    number = total.kills
    kinds = ", ".join(f"{count} {signal.Signals(kind).name}" for kind, count in Counter(kill.number for kill in kills).items())
    rows = [
        (f"killed or stopped workers ({kinds}): reported with number, signal and sample", f"{total.named} of {number}", "all"),
        ("... longest time until the report", f"{total.slowest:.1f} s", f"under {LIMIT:.0f} s"),
        ("... runs that end with the exit code of a data error", f"{total.coded} of {number}", "all"),
        ("... reported once, without a traceback", f"{total.clean} of {number}", "all"),
        ("... processes left 1 s after the exit", f"{total.orphans}", "0"),
        ("... new entries in /dev/shm", f"{total.shared_memory}", "0"),
    ]
    if total.small:
        rows.append(("... with a small /dev/shm: hint in the message", f"{total.hinted} of {total.small}", "all"))
    return rows
