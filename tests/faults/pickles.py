"""Hostile weight files and pair sets, read in monitored processes: none may execute code, exhaust the memory or hang."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hostile
import numpy as np

from ppface.core.errors import DataError, WeightsError
from tests.core.files.torch_writer import Tensor, write_legacy, write_zip

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES = 10, 300


@dataclass(frozen=True)
class Trial:
    """One hostile file.

    Attributes:
        name: the attack.
        entry: file name, which sets the format.
        write: writes the file to a path.
    """

    name: str
    entry: str
    write: Callable[[Path], object]

    @property
    def how(self) -> str:
        return "pairs" if self.entry == "pairs.bin" else "arrays"


def raw(payload: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(payload)


def zipped(payload: bytes) -> Callable[[Path], object]:
    return lambda path: write_zip(path, hostile.wrapped(payload))


def old(payload: bytes) -> Callable[[Path], object]:
    return lambda path: write_legacy(path, hostile.wrapped(payload))


ENTRIES = {"w.pdparams": raw, "w.pdopt": raw, "w.bin": raw, "pairs.bin": raw, "zip.pth": zipped, "old.pth": old}


def trials(command: str, every: bool, folder: Path) -> Iterator[Trial]:
    """Every pickle in every format (or each in one format, in turn), and the attacks specific to one format."""
    payloads = {**hostile.executing(command), **hostile.abusing(), **hostile.claiming(), **hostile.growing()}
    for i, (name, payload) in enumerate(payloads.items()):
        for entry in list(ENTRIES) if every else [list(ENTRIES)[i % len(ENTRIES)]]:
            yield Trial(name, entry, ENTRIES[entry](payload))
    for name, content in hostile.tensors().items():
        yield Trial(name, "zip.pth", lambda path, content=content: write_zip(path, content))
        yield Trial(name, "old.pth", lambda path, content=content: write_legacy(path, content))
    for name, write in hostile.zips(folder).items():
        yield Trial(name, "zip.pth", write)
    for name, write in hostile.legacies().items():
        yield Trial(name, "old.pth", write)


class Reader:
    """The reading process, which forks for each file."""

    def __init__(self, folder: Path):
        self.folder = folder
        good = {"a": Tensor(np.arange(4))}
        files = [write_zip(folder / "good.pth", good), write_legacy(folder / "good.pt", good)]
        command = [sys.executable, str(Path(__file__).with_name("pickle_reader.py")), str(folder / "missing"), *map(str, files)]
        places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
        )
        self.imported = self.read("arrays", files[0])["megabytes"]

    def read(self, how: str, path: Path) -> dict:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([how, str(path)]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=60)


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    witness = folder / "witness"
    reader = Reader(folder)
    count, executed, refused, kinds = 0, 0, 0, set()
    peak = slowest = 0.0
    for trial in trials(f"touch {witness}", counts == "long", folder):
        path = folder / trial.entry
        trial.write(path)
        found = reader.read(trial.how, path)
        path.unlink()
        kinds.add(trial.name)
        ran = witness.exists() or bool(found["events"])
        witness.unlink(missing_ok=True)
        error = (DataError if trial.how == "pairs" else WeightsError).__name__
        clear = (trial.name in hostile.HARMLESS and not found["error"]) or (
            found["error"] == error
            and found["message"].startswith(f"{path}: ")
            and found["message"].isprintable()
            and len(found["message"]) < 1000
        )
        executed, refused = executed + ran, refused + clear
        peak, slowest = max(peak, found["megabytes"]), max(slowest, found["seconds"])
        count += 1
        if ran or not clear or found["megabytes"] >= MEGABYTES or found["seconds"] >= SECONDS:
            print(f"pickles: {trial.name} ({trial.entry}): {found}", file=sys.stderr)
    run_by_python = 0
    for payload in hostile.executing(f"touch {witness}").values():
        (folder / "w.pkl").write_bytes(payload)
        reader.read("python", folder / "w.pkl")
        run_by_python += witness.exists()
        witness.unlink(missing_ok=True)
    reader.close()
    return [
        ("hostile pickles: executed", str(executed), "0"),
        ("... kinds, and those that Python's own unpickler executes", f"{len(kinds)} kinds, {run_by_python} executed", "at least 30"),
        ("... refused with one line that names the file, or read without what attacks", f"{refused} of {count}", "all"),
        ("... peak memory", f"{peak:.0f} MB ({reader.imported:.0f} of them Python and its libraries)", f"under {MEGABYTES}"),
        ("... slowest file", f"{slowest:.1f} s of CPU time", f"under {SECONDS}"),
    ]
