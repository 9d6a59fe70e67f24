"""Mutated pictures and decompression bombs, read in processes that may crash and whose memory and time are measured.

A mutated file that is read is compared with its source: it must give the same pixels. If bytes were changed in place, which no decoder may
be able to detect, another decoder must read the same complete picture.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import bombs
import numpy as np
from mutations import HARMLESS, SHORTENED, Case, cases

from ppface.core.errors import DataError
from ppface.core.run.log import log
from ppface.data.loading.loader import Loader
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import Resize

COUNTS = {"long": 10_000, "fast": 540}
CHUNK = 250
IN_PLACE = {"flip", "flip_many", "blank", "zeroed", "other_end", "header", "damage_exif"}  # mutations that keep the length
ROOT = Path(__file__).resolve().parents[2]


def read(paths: list[Path], decoders: str, folder: Path, per_process: int = 50) -> list[dict]:
    """Results for each file, by our decoder or by others."""
    command = [sys.executable, str(Path(__file__).with_name("picture_reader.py")), decoders, str(folder), str(per_process)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "OFF"}
    pipes = {"input": "".join(f"{path}\n" for path in paths), "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    done = subprocess.run(command, text=True, check=True, env=environment, **pipes)
    return [json.loads(line) for line in done.stdout.splitlines()]


def pixels(answer: dict) -> np.ndarray | None:
    return np.load(answer["pixels"]) if "pixels" in answer else None


def same(one: np.ndarray | None, other: np.ndarray | None, tolerance: int = 0) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    return int(np.abs(one.astype(int) - other).max()) <= tolerance


def turns(image: np.ndarray | None) -> list[np.ndarray]:
    """All eight orientations."""
    if image is None:
        return []
    return [np.rot90(side, k) for side in (image, image[:, ::-1]) for k in range(4)]


def ends_in_nothing(image: np.ndarray) -> bool:
    """Whether the last eighth of the rows (in any rotation) are identical, as if the data had ended; no source has this."""
    rows = len(image) // 8
    return rows > 3 and any(not np.ptp(side[-rows:], axis=0).any() for side in turns(image)[:4])


class Tally:
    """Counts over all files."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.as_source: Counter[str] = Counter()
        self.undetectable: Counter[str] = Counter()
        self.crashes = self.unlisted = self.half = self.sound_lost = 0
        self.megabytes = self.seconds = 0.0
        self.others: list[tuple[Case, dict]] = []  # read, but with other pixels than the source

    def add(self, case: Case, answer: dict) -> None:
        self.files[case.what] += 1
        self.measure(answer)
        if "crash" in answer:
            report(case, answer)
        elif answer["error"]:
            self.rejected[case.what] += 1
            if not listed(answer):
                self.unlisted += 1
                report(case, answer)
            if case.what in HARMLESS:
                self.harmless_refused(case, answer)
        elif case.source and same(pixels(answer), case.source.pixels):
            self.as_source[case.what] += 1
        elif case.source is None or case.what in SHORTENED | HARMLESS or (case.what == "zeroed" and case.source.packed):
            self.is_half(case, answer)
        else:
            self.others.append((case, answer))

    def harmless_refused(self, case: Case, answer: dict) -> None:
        if not (case.what == "append" and case.source and case.source.kind in ("BMP", "PPM")):  # formats without an end mark
            self.sound_lost += 1
            report(case, answer)

    def is_half(self, case: Case, answer: dict) -> None:
        self.half += 1
        report(case, answer)

    def measure(self, answer: dict) -> None:
        if "crash" in answer:
            self.crashes += 1
            return
        self.megabytes, self.seconds = max(self.megabytes, answer["megabytes"]), max(self.seconds, answer["seconds"])

    def judge_others(self, folder: Path) -> None:
        """Compares files read with other pixels than their source with the results of other decoders."""
        paths = [Path(answer["path"]) for _, answer in self.others]
        found = read(paths, "others", folder)
        seen: dict[str, list[Any]] = {}
        for answer in found:
            seen.setdefault(answer["path"], []).extend(turns(pixels(answer)))
        for case, answer in self.others:
            mine = pixels(answer)
            agreed = any(same(mine, other, 2) for other in seen.get(answer["path"], []))  # 2: rounding of 16 bits or colour conversion
            whole = mine is not None and (case.what in IN_PLACE or not ends_in_nothing(mine))
            if agreed and whole:
                self.undetectable[case.what] += 1
            else:
                self.is_half(case, answer)
        self.others.clear()


def listed(answer: dict) -> bool:
    """Whether the error is one line that names the file."""
    reason = answer["reason"]
    return answer["error"] == DataError.__name__ and reason.startswith(f"{answer['path']}: ") and reason.isprintable() and len(reason) < 400


def report(case: Case, answer: dict) -> None:
    of = f"{case.source.name} {case.source.kind}" if case.source else "nothing"
    print(f"pictures: {case.what} of {of}: {answer}", file=sys.stderr)


class Files:
    """A data set of picture files."""

    def __init__(self, paths: list[Path]):
        self.paths = [str(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return self.paths[i]

    def __getitem__(self, i: int) -> dict:
        return {"picture": Picture.open(self.paths[i]), "label": i}


def loaded(paths: list[Path], refused: set[str]) -> bool:
    """Whether a loader with two workers lists exactly these files as broken, and returns none of them in a batch."""
    loader = Loader(Files(paths), [Resize((32, 32))], batch_size=10, seed=0, rank=0, world=1, workers=2, broken_share=1.0)
    level = log.level
    log.setLevel("ERROR")  # it logs a warning for each
    names = {name for batch in loader.stream(0, len(loader)) for name in batch.names}
    log.setLevel(level)
    good = all(reason.startswith(f"{name}: ") for name, reason in loader.broken.items())
    return good and set(loader.broken) == refused and not names & refused


def mutate(number: int, folder: Path, tally: Tally) -> bool:
    """Reads all mutated files, CHUNK at a time; returns whether a loader lists the broken ones of a sample correctly."""
    lists_all, chunk = True, []
    made = list(cases(number, np.random.default_rng(0)))
    for start in range(0, len(made), CHUNK):
        chunk = made[start : start + CHUNK]
        here = folder / str(start)
        here.mkdir(parents=True)
        paths = [here / f"{i}_{case.name}" for i, case in enumerate(chunk)]
        for path, case in zip(paths, chunk, strict=True):
            path.mkdir() if case.data is None else path.write_bytes(case.data)
        found = read(paths, "ours", here)
        for answer, case in zip(found, chunk, strict=True):
            tally.add(case, answer)
        tally.judge_others(here)
        if start == 0:
            lists_all = loaded(paths[::3], {answer["path"] for answer in found[::3] if answer.get("error")})
        subprocess.run(["rm", "-r", str(here)], check=True)
    return lists_all


def explode(folder: Path, counts: str) -> tuple[Tally, list[dict]]:
    """Reads the bombs and the largest accepted pictures."""
    tally = Tally()
    made = bombs.bombs() | bombs.largest()
    paths = bombs.write({name: data for name, data in made.items() if counts == "long" or name in bombs.FAST}, folder / "bombs")
    found = read(paths, "ours", folder, per_process=1)
    for answer in found:
        tally.measure(answer)
        tally.unlisted += bool(answer.get("error")) and not listed(answer)
        if counts == "long" and "crash" not in answer:
            outcome = answer["reason"].removeprefix(f"{answer['path']}: ") or f"read as {answer['shape']}"
            print(f"{Path(answer['path']).name:24} {answer['megabytes']:4.0f} MB {answer['seconds']:5.2f} s  {outcome}", file=sys.stderr)
    return tally, found


def run(counts: str, folder: Path) -> list[tuple[str, str, str]]:
    tally = Tally()
    lists_all = mutate(COUNTS[counts], folder / "mutated", tally)
    exploded, found = explode(folder, counts)
    total, rejected, undetectable = tally.files.total(), tally.rejected.total(), tally.undetectable.total()
    kinds, changed = (
        ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counted.most_common())
        for counted in (tally.files, tally.undetectable)
    )
    unread = [answer for answer in found if Path(answer["path"]).name in bombs.largest() and answer.get("error")]
    return [
        (f"mutated pictures ({kinds}): crashes", str(tally.crashes + exploded.crashes), "0"),
        ("... half-decoded, or truncated and different from the source, that entered a batch", str(tally.half), "0"),
        ("... rejected ones listed in one line that names the file and the reason", f"{rejected - tally.unlisted} of {rejected}", "all"),
        ("... a loader with two workers lists the same files of a sample, and returns none of them", "yes" if lists_all else "no", "yes"),
        ("... valid files, or with bytes after their end, that were refused", str(tally.sound_lost), "0"),
        (f"... read as another complete picture, also by another decoder: changes in data without a checksum ({changed}); "
         f"{tally.as_source.total()} as their source", f"{undetectable} of {total}", f"at most {total // 4}"),
        (f"{len(found)} bombs and largest pictures: peak memory of a reading process", f"{exploded.megabytes:.0f} MB", "under 400 MB"),
        ("... slowest, in CPU time", f"{exploded.seconds:.1f} s", "under 10 s"),
        ("... largest pictures refused, bombs not listed in one line", str(len(unread) + exploded.unlisted), "0"),
        ("mutated pictures: slowest, in CPU time", f"{tally.seconds:.2f} s", "under 10 s"),
    ]  # fmt: skip
