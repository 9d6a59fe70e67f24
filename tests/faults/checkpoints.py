"""Damaged checkpoints of a real run: bits flipped, files truncated, extended, deleted, exchanged."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tiny

from ppface.core.errors import WeightsError
from ppface.core.files.checkpoint_files import read, read_weights, verify
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.run.log import log

COUNTS = {"long": 1000, "fast": 60}
Rng = np.random.Generator


def flip(file: Path, rng: Rng, _others: list[Path]) -> None:
    data = bytearray(file.read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    file.write_bytes(data)


def cut(file: Path, rng: Rng, _others: list[Path]) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: rng.integers(len(data))])


def blank(file: Path, rng: Rng, _others: list[Path]) -> None:
    """A block of zeros, as disk faults leave it, where at least one byte changes."""
    data = bytearray(file.read_bytes())
    start = next(i for i in rng.permutation(len(data)) if data[i])
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)


def lengthen(file: Path, rng: Rng, _others: list[Path]) -> None:
    with file.open("ab") as handle:
        handle.write(rng.bytes(rng.integers(1, 100)))


def delete(file: Path, _rng: Rng, _others: list[Path]) -> None:
    file.unlink()


def exchange(file: Path, rng: Rng, others: list[Path]) -> None:
    """The same file of another checkpoint of the run."""
    shutil.copyfile(others[rng.integers(len(others))] / file.name, file)


def add(file: Path, _rng: Rng, _others: list[Path]) -> None:
    shutil.copyfile(file, file.with_name("scaler.safetensors"))


def rename(file: Path, _rng: Rng, others: list[Path]) -> None:
    """Another checkpoint of the run under this one's name."""
    shutil.rmtree(file.parent)
    shutil.copytree(others[-1], file.parent)


DAMAGES: list[tuple[Callable, float]] = [
    (flip, 0.5), (cut, 0.2), (blank, 0.05), (lengthen, 0.05), (delete, 0.05), (exchange, 0.09), (add, 0.03), (rename, 0.03),
]  # fmt: skip


class Warnings(logging.Handler):
    """Collects the log messages."""

    def __init__(self):
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def refuses(look: Callable, path: Path) -> bool:
    try:
        look(path)
    except WeightsError as error:
        return str(path) in str(error)
    return False


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    number, rng = COUNTS[counts], np.random.default_rng(0)
    made = tiny.whole(folder / "run", "trainer.iterations=9", "trainer.keep=3") / "checkpoints"
    here = folder / "checkpoints"
    kinds = rng.choice(len(DAMAGES), number, p=[share for _, share in DAMAGES])
    kinds[: len(DAMAGES)] = range(len(DAMAGES))  # at least one of each
    done: Counter = Counter()
    detected = fell_back = evaluated = used = 0
    warnings = Warnings()
    log.addHandler(warnings)
    for kind in kinds:
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(made, here)
        oldest, *newer = sorted(here.iterdir())
        broken = newer if rng.random() < 0.3 else newer[1:]  # the newest, or the two newest
        sound = max(set(here.iterdir()) - set(broken))
        harm = DAMAGES[kind][0]
        file = str(rng.choice(sorted(file.name for file in sound.iterdir())))
        for path in broken:
            harm(path / file, rng, [oldest, sound])
        done[harm.__name__] += 1
        named = CheckpointFolder(here)
        if harm is rename:
            detected += (
                named.read_intact("last", verify) not in broken
            )  # intact, but its step differs from its name: CheckpointFolder detects it
        else:
            detected += all(refuses(verify, path) and refuses(read, path) for path in broken)
        warnings.texts.clear()
        path, arrays = named.read_intact("last", lambda path: (path, read(path)[0]))
        reported = warnings.texts and all(str(path) in warnings.texts[0] for path in [sound, *broken])
        fell_back += path == sound and bool(reported) and same(arrays, read(made / sound.name)[0])
        if file == "ema.safetensors" or harm in (add, rename):
            used += 1
            evaluated += named.read_intact("best", read_weights).file == sound / "ema.safetensors"
    log.removeHandler(warnings)
    kind_counts = ", ".join(f"{count} {name}" for name, count in done.most_common())
    return [
        ("damaged checkpoint files: detected", f"{detected} of {number} ({kind_counts})", "all"),
        ("... fell back to the newest intact one, with correct values, all named", f"{fell_back} of {number}", "all"),
        ("... the same for the weights used for evaluation and export", f"{evaluated} of {used}", "all"),
    ]


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        one[file].keys() == other[file].keys() and all(np.array_equal(one[file][name], other[file][name]) for name in one[file])
        for file in one
    )
