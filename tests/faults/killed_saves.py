"""Saves checkpoints in processes that kill themselves at each file operation in turn; started by kills.py.

python killed_saves.py FOLDER
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from ppface.core.files import checkpoint_files
from ppface.core.files.checkpoint_folder import CheckpointFolder

KEEP = 2
OPERATIONS = ("open", "os.", "shutil.")


def save(folder: Path, step: int) -> None:
    arrays = {"weights.safetensors": {"a": np.full(3000, step, "float32")}, "optimizer.safetensors": {"b": np.full(9, step)}}
    CheckpointFolder(folder, KEEP).save(arrays, {"step": step}, best=step == 1)


def die_at(number: int, folder: Path) -> None:
    """Makes this process kill itself just before its file operation of this number within a folder."""
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event.startswith(OPERATIONS) and any(str(folder) in str(argument) for argument in arguments):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def survives(folder: Path, number: int) -> bool:
    """Whether a save ends before its file operation of this number."""
    child = os.fork()
    if not child:
        die_at(number, folder)
        save(folder, 5)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def main(folder: Path) -> None:
    """Prints the numbers of kills, of kills that left only intact checkpoints and lost none, and of leftovers removed by the next save."""
    made, here = folder / "made", folder / "here"
    for step in (1, 2, 3, 4):
        save(made, step)
    kills = sound = swept = 0
    while True:
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(made, here)
        if survives(here, kills + 1):
            break
        kills += 1
        left = sorted(path.name for path in here.glob("step_*"))
        for name in left:
            checkpoint_files.verify(here / name)
        old, new = {"step_00000001", "step_00000003", "step_00000004"}, {"step_00000001", "step_00000004", "step_00000005"}
        sound += set(left) in (old, new, old | new)
        save(here, 6)
        swept += len(list(here.iterdir())) == len(list(here.glob("step_*"))) == KEEP + 1
    print(kills, sound, swept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
