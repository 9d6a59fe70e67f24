"""The checkpoints of one run on disk: a kill or a full disk during a save harms no existing one, and a broken one is never used.

    step_00000040            a checkpoint (see checkpoint_files); its name holds the step
    step_00000040_2          a later save of the same step: the tensors of an existing checkpoint are never replaced
    .step_00000060.saving    a save in progress, or one that was killed
    .step_00000020.removing  a removal in progress, or one that was killed
Visible names belong to complete checkpoints only: a save ends with one rename, a removal begins with one. There is no index file that
could disagree with the folder: the last checkpoint is the newest intact one, and each state records the best step so far.
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
BLOCK, MARGIN = 4096, 1_000_000  # bytes: block size of most file systems, and space that a save leaves free for the log
UNTOUCHED = "earlier checkpoints are untouched"


class CheckpointFolder:
    """The newest `keep` checkpoints of a run and its best.

    Args:
        folder: created when the first checkpoint is saved.
        keep: how many of the newest are kept, >= 1; broken ones do not count.
        lock_timeout: seconds to wait for another process that is saving here.
    """

    def __init__(self, folder: Path, keep: int = 2, lock_timeout: float = 60.0):
        self.folder, self.keep, self.lock_timeout = folder, keep, lock_timeout
        self._intact: set[str] = set()  # names of the checkpoints that this object saved or verified

    def save(self, arrays: dict[str, dict[str, np.ndarray]], state: dict[str, Any], best: bool) -> Path:
        """Writes one checkpoint and removes the oldest; a save that fails or is killed leaves the existing ones untouched.

        Args:
            arrays: file name -> name -> array.
            state: plain values; `step` names the checkpoint. `best_step` and the digests are added.
            best: whether this is the best checkpoint so far.

        Raises:
            NumericError: a value that is not finite; nothing was written.
            SaveError: the disk is full or not writable.
        """
        step, wanted = state["step"], self.folder / f"step_{state['step']:08d}"
        checkpoint_files.check_finite(arrays, str(wanted))
        files = {name: pieces(content) for name, content in arrays.items()}
        sizes = [sum(map(len, content)) for content in files.values()] + [len(json.dumps(state, indent=1))]
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                checkpoint_files.sync_folder(self.folder.parent)
            with _locked(self.folder, self.lock_timeout):
                self._remove_leftovers()
                self._check_room(sizes, wanted)
                before = [path for path in self._newest_first() if _step_and_count(path)[0] <= step]
                best_step = step if best else next((_state(path)["best_step"] for path in before if self._is_intact(path)), None)
                saved = self._write(wanted, files, state | {"best_step": best_step})
                self._intact.add(saved.name)
                self._remove_old([saved, *before], best_step)
        except OSError as error:
            raise SaveError(f"{wanted}: cannot save this checkpoint: {error.strerror or error}; {UNTOUCHED}") from error
        return saved

    def record(self, saved: Path, results: dict[str, Any], best: bool) -> None:
        """Adds the results of an evaluation to the state of a saved checkpoint, in one replacement of its state.json.

        Args:
            saved: what `save` returned.
            results: plain values that replace those of the same names.
            best: whether this is the best checkpoint so far; then the best one until now is removed, unless it is one of the newest.

        Raises:
            SaveError: the disk is full or not writable, or the checkpoint was changed or removed meanwhile.
        """
        step = _step_and_count(saved)[0]
        try:
            with _locked(self.folder, self.lock_timeout):
                state = _state(saved) | results
                if best:
                    state["best_step"] = step
                checkpoint_files.replace_state(saved, state)
                before = [path for path in self._newest_first() if _step_and_count(path) <= _step_and_count(saved)]
                self._remove_old(before, state["best_step"])
        except (OSError, WeightsError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SaveError(
                f"{saved}: cannot write the results of the evaluation into this checkpoint: {reason}; a resumed run repeats the evaluation"
            ) from error

    def find(self, which: Literal["last", "best"]) -> Path:
        """The directory of the last or best intact checkpoint, after verifying all of it; errors as `read_intact`."""
        return self.read_intact(which, checkpoint_files.verify)

    def read_intact(self, which: Literal["last", "best"], read: Callable[[Path], T]) -> T:
        """What `read` returns for the last or best checkpoint, or, with a warning, for the newest one that it can read.

        Args:
            which: "best" means "last" where no best one is recorded.
            read: raises WeightsError for a broken checkpoint: `verify`, `read_weights` or `read` of checkpoint_files.

        Raises:
            WeightsError: no checkpoint, or all are broken: the message lists each with its fault.
        """
        faults: dict[str, str] = {}
        retried: set[str] = set()
        while left := [path for path in self._candidates(which) if path.name not in faults]:
            path = left[0]
            try:
                _state(path)
                found = read(path)
            except WeightsError as error:
                if path.exists() or path.name in retried:
                    faults[path.name] = str(error)
                retried.add(path.name)  # a run that saves here may have removed it: list the folder again
                self._intact.discard(path.name)
                continue
            if faults:
                reasons = "\n".join(f"  {fault}" for fault in faults.values())
                log.warning("BROKEN CHECKPOINT: falling back to the newest intact one, %s, because:\n%s", path, reasons)
            return found
        if faults:
            reasons = "\n".join(f"  {fault}" for fault in faults.values())
            raise WeightsError(f"{self.folder}: expected an intact checkpoint, but all are broken:\n{reasons}")
        raise WeightsError(f"{self.folder}: expected a run with at least one checkpoint, found none")

    def _candidates(self, which: Literal["last", "best"]) -> list[Path]:
        """The requested checkpoint, then all, newest first."""
        newest_first = self._newest_first()
        if which == "last":
            return newest_first
        for path in newest_first:
            with contextlib.suppress(WeightsError):
                if (step := _state(path)["best_step"]) is not None:
                    best = [path for path in newest_first if _step_and_count(path)[0] == step]
                    return [*(best or [self.folder / f"step_{step:08d}"]), *newest_first]
                break
        return newest_first

    def _newest_first(self) -> list[Path]:
        """One directory listing, so that while a run saves here, either its old or its new checkpoints are seen, never none."""
        entries = list(os.scandir(self.folder)) if self.folder.is_dir() else []
        found = [Path(entry.path) for entry in entries if NAME.fullmatch(entry.name) and entry.is_dir()]
        return sorted(found, key=_step_and_count, reverse=True)

    def _is_intact(self, path: Path) -> bool:
        if path.name not in self._intact:
            try:
                _state(path)
                checkpoint_files.verify(path)
            except WeightsError:
                return False
            self._intact.add(path.name)
        return True

    def _check_room(self, sizes: list[int], wanted: Path) -> None:
        """Raises SaveError before writing if the disk has too little space; if it fills up during the save, `save` raises it."""
        needed = sum(-(-size // BLOCK) * BLOCK for size in [*sizes, BLOCK]) + MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            space = f"needs {needed / 1e6:.1f} MB, but {free / 1e6:.1f} MB are free on its disk"
            raise SaveError(f"{wanted}: cannot save this checkpoint: {space}; {UNTOUCHED}")

    def _write(self, wanted: Path, files: dict[str, list[memoryview]], state: dict[str, Any]) -> Path:
        temporary = self.folder / f".{wanted.name}{SAVING}"
        try:
            checkpoint_files.write(temporary, files, state)
            saved, count = wanted, 1
            while os.path.lexists(saved):
                count += 1
                saved = wanted.with_name(f"{wanted.name}_{count}")
            temporary.rename(saved)
        finally:
            _delete(temporary)
        checkpoint_files.sync_folder(self.folder)
        return saved

    def _remove_old(self, newest_first: list[Path], best_step: int | None) -> None:
        """Keeps the newest `keep` intact checkpoints and the best one; removes the others and earlier saves of the kept steps."""
        kept: set[int] = set()
        count = 0
        for path in newest_first:
            step = _step_and_count(path)[0]
            if step in kept:
                self._remove(path)
            elif count < self.keep:
                if self._is_intact(path):
                    kept.add(step)
                    count += 1
            elif step == best_step:
                kept.add(step)
            else:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        """Renames first: a kill during the removal leaves nothing that looks like a checkpoint."""
        temporary = self.folder / f".{path.name}{REMOVING}"
        try:
            path.rename(temporary)
            checkpoint_files.sync_folder(self.folder)
        except OSError as error:
            log.warning("%s: cannot remove this old checkpoint: %s", path, error.strerror)
        _delete(temporary)

    def _remove_leftovers(self) -> None:
        """Deletes what killed saves and removals have left behind."""
        for path in self.folder.glob(".step_*"):
            if path.name.endswith((SAVING, REMOVING)):
                _delete(path)


def _step_and_count(path: Path) -> tuple[int, int]:
    """(step, number of the save of this step), from a checkpoint's name."""
    match = NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2] or 1)


def _state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint, after checking its step against the directory's name.

    Raises:
        WeightsError: they differ, or as checkpoint_files.read_state.
    """
    state = checkpoint_files.read_state(path)
    if state.get("step") != _step_and_count(path)[0] or "best_step" not in state:
        raise WeightsError(f"{path}: expected the checkpoint of the step in its name, received that of step {state.get('step')}")
    return state


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, timeout: float) -> Iterator[None]:
    """One save at a time in a folder, whatever the number of runs."""
    handle = folder_lock.take(folder, timeout)
    if handle is None:
        reason = f"another process has been saving here for {timeout:.0f} s; is this run started twice?"
        raise SaveError(f"{folder}: cannot save a checkpoint: {reason}")
    try:
        yield
    finally:
        os.close(handle)
