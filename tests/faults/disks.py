"""Full disks when a real run saves: no bytes left before or during a save, no inodes left, a limit on the file size.

The disks are small tmpfs file systems in a mount namespace of their own (`unshare -rm`), whose size is reduced to the used space while the
run is paused (SIGSTOP). If that is not permitted, only a limit on the file size (RLIMIT_FSIZE) is tested.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tiny

from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import verify
from ppface.core.files.checkpoint_folder import CheckpointFolder

COUNTS = {"long": 20, "fast": 3}
ITERATIONS = 18
KINDS = ("no bytes", "no bytes in a save", "no files", "file size limit")
CHOICES = ("warn", "stop")  # of trainer.failed_save
Rng = np.random.Generator


@dataclass
class Disk:
    """A tmpfs in this process's mount namespace."""

    place: Path

    def __post_init__(self):
        self.place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=10000", "faults", self.place], check=True)

    def leave(self, free_bytes: int | None = None, free_files: int | None = None) -> None:
        """Reduces the disk to the used space plus the given free bytes and files."""
        now = os.statvfs(self.place)
        used, files = (now.f_blocks - now.f_bfree) * now.f_bsize, now.f_files - now.f_ffree
        size = "64m" if free_bytes is None else used + free_bytes
        count = 10000 if free_files is None else files + free_files
        subprocess.run(["mount", "-o", f"remount,size={size},nr_inodes={count}", self.place], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.place], check=True)


def fill(kind: str, life: tiny.Life, disk: Disk | None, rng: Rng) -> dict[str, bytes]:
    """Pauses the run at a random point, fills the disk and resumes it; returns the files of the newest checkpoint at that point."""
    folder = life.folder / "checkpoints"
    wanted = rng.integers(1, 4) * tiny.SAVE_EVERY
    await_run(life, lambda: any(int(path.name[5:13]) >= wanted for path in folder.glob("step_*")))
    if kind != "no bytes in a save":
        time.sleep(rng.uniform(0, 0.1))
    else:
        await_run(life, lambda: any(folder.glob(".step_*.saving")), 0)
    pause(life)
    newest = max(folder.glob("step_*"))
    before = {newest.name: b"", **tiny.content(newest)}
    if kind == "file size limit":
        limit = int(rng.integers(30_000, 130_000))
        resource.prlimit(life.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    else:
        assert disk
        disk.leave(free_files=int(rng.integers(5))) if kind == "no files" else disk.leave(free_bytes=int(rng.integers(8, 64)) * 4096)
    os.kill(life.process.pid, signal.SIGCONT)
    return before


def pause(life: tiny.Life) -> None:
    os.kill(life.process.pid, signal.SIGSTOP)
    while Path(f"/proc/{life.process.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TZ":
        time.sleep(0.0001)


def make_room(life: tiny.Life, disk: Disk | None) -> None:
    resource.prlimit(life.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if disk:
        disk.leave()


def await_run(life: tiny.Life, done, pause: float = 0.001) -> None:
    deadline = time.monotonic() + 300
    while not done():
        assert life.process.poll() is None, life.said()
        assert time.monotonic() < deadline, "the run did not reach its save in time"
        time.sleep(pause)


def inspect(folder: Path, before: dict[str, bytes]) -> tuple[bool, bool]:
    """(the checkpoint in `before` is byte-identical and all are intact, there are no leftovers)."""
    name = next(iter(before))
    intact = before == {name: b"", **tiny.content(folder / name)}
    for path in folder.glob("step_*"):
        with contextlib.suppress(WeightsError):
            verify(path)
            continue
        intact = False
    return intact, not any(folder.glob(".*"))


def one(folder: Path, kind: str, choice: str, rng: Rng, mounts: bool, undisturbed: Path | None) -> dict[str, bool]:
    """One run on a disk that becomes full; with `undisturbed`, it is resumed after space is freed, and compared with that run."""
    disk = Disk(folder / "disk") if mounts else None
    run = folder / "disk" / "run"
    run.parent.mkdir(parents=True, exist_ok=True)
    options = [f"trainer.iterations={ITERATIONS}", f"trainer.failed_save={choice}"]
    life = tiny.Life(run, *options, beside=folder / "first")
    before = fill(kind, life, disk, rng)
    if choice == "warn":
        await_run(life, lambda: "Training continues: free disk space" in life.said())
        pause(life)
        inspected = inspect(run / "checkpoints", before)
        make_room(life, disk)
        os.kill(life.process.pid, signal.SIGCONT)
        code, said = life.wait(), life.said()
    else:
        code, said = life.wait(), life.said()
        inspected = inspect(run / "checkpoints", before)
    done = dict(zip(("intact", "clean"), inspected, strict=True))
    done["written"] = " MB are free on its disk" not in said  # otherwise the save was refused before writing anything
    done["chosen"] = "cannot save this checkpoint: " in said and code == (6 if choice == "stop" else 0)
    if disk:
        disk.leave()
    if undisturbed:
        if choice == "stop":
            again = tiny.Life(run, *options, beside=folder / "again")
            assert again.wait() == 0, again.said()
        ends = [tiny.content(CheckpointFolder(path / "checkpoints").find("last")) for path in (run, undisturbed)]
        done["equal"] = ends[0] == ends[1]
    if not all(holds for what, holds in done.items() if what != "written"):
        print(kind, choice, done, code, said, file=sys.stderr)
    if disk:
        disk.close()
    shutil.rmtree(folder, ignore_errors=True)
    return done


def all_of(folder: Path, counts: str, mounts: bool) -> list[tuple[str, str, str]]:
    number, rng = COUNTS[counts], np.random.default_rng(0)
    kinds = KINDS if mounts else KINDS[-1:]
    long = counts == "long"
    undisturbed = tiny.whole(folder / "undisturbed", f"trainer.iterations={ITERATIONS}") if long else None
    sums: Counter = Counter()
    used: Counter = Counter()
    for i in range(number):
        kind, choice = kinds[i % len(kinds)], CHOICES[(i + i // len(kinds)) % len(CHOICES)]
        used[kind] += 1
        sums.update(one(folder / f"disk{i}", kind, choice, rng, mounts, undisturbed))
    counted = ", ".join(f"{count} {kind}" for kind, count in used.items()) + f"; {sums['written']} full in the middle of a save"
    rows = [
        ("full disks: earlier checkpoints intact", f"{sums['intact']} of {number} ({counted})", "all"),
        (f"... trainer.failed_save followed ({', '.join(CHOICES)})", f"{sums['chosen']} of {number}", "all"),
        ("... no leftovers of the failed save", f"{sums['clean']} of {number}", "all"),
    ]
    if undisturbed:
        rows.append(("... after freeing space, bit-equal to an undisturbed run", f"{sums['equal']} of {number}", "all"))
    return rows


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    apart = ["unshare", "-rm", sys.executable, __file__, counts, str(folder)]
    try:
        mounts = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "faults", folder], capture_output=True).returncode == 0
    except FileNotFoundError:
        mounts = False
    if not mounts:
        return all_of(folder, counts, mounts=False)
    done = subprocess.run(apart, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PYTHONPATH": str(tiny.ROOT)})
    return [tuple(row) for row in json.loads(done.stdout)]


if __name__ == "__main__":
    print(json.dumps(all_of(Path(sys.argv[2]), sys.argv[1], mounts=True)))
