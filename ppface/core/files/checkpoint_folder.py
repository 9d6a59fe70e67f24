"""The checkpoints of one run on disk: saved so that no kill and no full disk harms what is there, read so that no broken one is used.

    step_00000040            a checkpoint (see checkpoint_files); its name tells the step
    step_00000040_2          a later save of the same step: what is there is never replaced, only followed
    .step_00000060.saving    a save that is under way, or was killed
    .step_00000020.removing  a removal likewise
Visible names are of whole checkpoints alone: a save appears by one rename, a removal begins with one. There is no list of them that could
disagree with what is there: the last one is the newest that is sound, and each state names the best one of its time.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ppface.core.errors import SaveError, WeightsError
from ppface.core.files import checkpoint_files
from ppface.core.files.safetensors_file import pieces
from ppface.core.run import folder_lock
from ppface.core.run.log import log

T = TypeVar("T")
NAME = re.compile(r"step_(\d+)(?:_(\d+))?")
SAVING, REMOVING = ".saving", ".removing"
BLOCK, MARGIN = 4096, 1_000_000  # bytes: what a file is rounded up to on most disks, and what a save leaves free for the log
UNTOUCHED = "earlier checkpoints are untouched"


class CheckpointFolder:
    """The newest `keep` checkpoints of a run and its best.

    Args:
        folder: made when the first checkpoint is saved.
        keep: how many of the newest stay, >= 1; broken ones do not count.
        patience: seconds to wait for another process that is saving here.
    """

    def __init__(self, folder: Path, keep: int = 2, patience: float = 60.0):
        self.folder, self.keep, self.patience = folder, keep, patience
        self._sound: set[str] = set()  # names of those that were saved or verified by this object

    def save(self, arrays: dict[str, dict[str, np.ndarray]], state: dict[str, Any], best: bool) -> Path:
        """Writes one checkpoint and forgets the oldest; a save that fails or is killed harms none that is there.

        Args:
            arrays: file name -> name -> array.
            state: plain values; `step` names the checkpoint. `best_step` and the digests are added to it.
            best: whether it becomes the best one.

        Raises:
            NumericError: a value that is not finite; nothing was written.
            SaveError: the disk is full or cannot be written.
        """
        step, wanted = state["step"], self.folder / f"step_{state['step']:08d}"
        checkpoint_files.check_finite(arrays, str(wanted))
        files = {name: pieces(content) for name, content in arrays.items()}
        sizes = [sum(map(len, content)) for content in files.values()] + [len(json.dumps(state, indent=1))]
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                checkpoint_files.settle(self.folder.parent)
            with _alone(self.folder, self.patience):
                self._sweep()
                self._check_room(sizes, wanted)
                before = [path for path in self._newest_first() if _place(path)[0] <= step]
                best_step = step if best else next((_state(path)["best_step"] for path in before if self._is_sound(path)), None)
                saved = self._write(wanted, files, state | {"best_step": best_step})
                self._sound.add(saved.name)
                self._forget([saved, *before], best_step)
        except OSError as error:
            raise SaveError(f"{wanted}: cannot save this checkpoint: {error.strerror or error}; {UNTOUCHED}") from error
        return saved

    def find(self, which: Literal["last", "best"]) -> Path:
        """The directory of the last or best checkpoint that is sound, after all of it was verified; errors as `sound`."""
        return self.sound(which, checkpoint_files.verify)

    def sound(self, which: Literal["last", "best"], look: Callable[[Path], T]) -> T:
        """What `look` makes of the last or best checkpoint, or, with a warning, of the newest one that it finds no fault with.

        Args:
            which: without a best one, the last.
            look: raises WeightsError for a checkpoint that is broken: `verify`, `weights` or `read` of checkpoint_files.

        Raises:
            WeightsError: there is none, or all are broken: names each with its fault.
        """
        faults: dict[str, str] = {}
        gone: set[str] = set()
        while left := [path for path in self._candidates(which) if path.name not in faults]:
            path = left[0]
            try:
                _state(path)
                found = look(path)
            except WeightsError as error:
                if path.exists() or path.name in gone:
                    faults[path.name] = str(error)
                gone.add(path.name)  # a run that saves here may have removed it: what is there now is asked for again
                self._sound.discard(path.name)
                continue
            if faults:
                told = "\n".join(f"  {fault}" for fault in faults.values())
                log.warning("BROKEN CHECKPOINT: falling back to the newest sound one, %s, because:\n%s", path, told)
            return found
        if faults:
            told = "\n".join(f"  {fault}" for fault in faults.values())
            raise WeightsError(f"{self.folder}: expected a sound checkpoint, but all are broken:\n{told}")
        raise WeightsError(f"{self.folder}: expected a run with at least one checkpoint, found none")

    def _candidates(self, which: Literal["last", "best"]) -> list[Path]:
        """The checkpoint that is meant, then all from the newest on."""
        newest_first = self._newest_first()
        if which == "last":
            return newest_first
        for path in newest_first:
            with contextlib.suppress(WeightsError):
                if (step := _state(path)["best_step"]) is not None:
                    best = [path for path in newest_first if _place(path)[0] == step]
                    return [*(best or [self.folder / f"step_{step:08d}"]), *newest_first]
                break
        return newest_first

    def _newest_first(self) -> list[Path]:
        """Listed at one go, so that a run that saves here meanwhile shows either its old or its new checkpoints, and never none."""
        entries = list(os.scandir(self.folder)) if self.folder.is_dir() else []
        found = [Path(entry.path) for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir()]
        return sorted(found, key=_place, reverse=True)

    def _is_sound(self, path: Path) -> bool:
        if path.name not in self._sound:
            try:
                _state(path)
                checkpoint_files.verify(path)
            except WeightsError:
                return False
            self._sound.add(path.name)
        return True

    def _check_room(self, sizes: list[int], wanted: Path) -> None:
        """Refuses to begin a save that the disk has no room for; one that fills up meanwhile fails later, as harmlessly."""
        needed = sum(-(-size // BLOCK) * BLOCK for size in [*sizes, BLOCK]) + MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            told = f"needs {needed / 1e6:.1f} MB, but {free / 1e6:.1f} MB are free on its disk"
            raise SaveError(f"{wanted}: cannot save this checkpoint: {told}; {UNTOUCHED}")

    def _write(self, wanted: Path, files: dict[str, list[memoryview]], state: dict[str, Any]) -> Path:
        aside = self.folder / f".{wanted.name}{SAVING}"
        try:
            checkpoint_files.write(aside, files, state)
            saved, count = wanted, 1
            while os.path.lexists(saved):
                count += 1
                saved = wanted.with_name(f"{wanted.name}_{count}")
            aside.rename(saved)
        finally:
            _delete(aside)
        checkpoint_files.settle(self.folder)
        return saved

    def _forget(self, newest_first: list[Path], best_step: int | None) -> None:
        """Removes what is older than the newest `keep` sound ones and not the best, and earlier saves of the steps that stay."""
        stay: set[int] = set()
        count = 0
        for path in newest_first:
            step = _place(path)[0]
            if step in stay:
                self._remove(path)
            elif count < self.keep:
                if self._is_sound(path):
                    stay.add(step)
                    count += 1
            elif step == best_step:
                stay.add(step)
            else:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        """Takes the name away first: a kill in the middle leaves nothing that looks like a checkpoint."""
        aside = self.folder / f".{path.name}{REMOVING}"
        try:
            path.rename(aside)
            checkpoint_files.settle(self.folder)
        except OSError as error:
            log.warning("%s: cannot remove this old checkpoint: %s", path, error.strerror)
        _delete(aside)

    def _sweep(self) -> None:
        """Deletes what killed saves and removals left."""
        for path in self.folder.glob(".step_*"):
            if path.name.endswith((SAVING, REMOVING)):
                _delete(path)


def _place(path: Path) -> tuple[int, int]:
    """(step, number of the save of this step) that a checkpoint's name tells."""
    match = NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2] or 1)


def _state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint, if it is of the step in the directory's name.

    Raises:
        WeightsError: it is not, or as checkpoint_files.read_state.
    """
    state = checkpoint_files.read_state(path)
    if state.get("step") != _place(path)[0] or "best_step" not in state:
        raise WeightsError(f"{path}: expected the checkpoint of the step in its name, received that of step {state.get('step')}")
    return state


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path, patience: float) -> Iterator[None]:
    """One save at a time in a folder, whatever the number of runs."""
    handle = folder_lock.take(folder, patience)
    if handle is None:
        told = f"another process has been saving here for {patience:.0f} seconds; does this run run twice?"
        raise SaveError(f"{folder}: cannot save a checkpoint: {told}")
    try:
        yield
    finally:
        os.close(handle)
