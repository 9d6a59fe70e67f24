"""A folder that one process has to itself, for as long as it lives or until it lets go; a process that is killed lets go of it."""

import fcntl
import os
import time
from pathlib import Path


def take(folder: Path, patience: float) -> int | None:
    """A handle that holds the folder until it is closed by `os.close`; None where another process has held it for so many seconds."""
    handle = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + patience
    while not _taken(handle):
        if time.monotonic() > deadline:
            os.close(handle)
            return None
        time.sleep(0.05)
    return handle


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: two runs in one folder are its user's risk
        return True
    return True
