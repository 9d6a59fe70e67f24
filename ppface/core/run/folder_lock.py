"""An exclusive lock on a folder, held until it is released or the process ends, even if the process is killed."""

import fcntl
import os
import time
from pathlib import Path

POLL_INTERVAL_S = 0.05


def take(folder: Path, timeout: float) -> int | None:
    """A file descriptor that holds the lock until `os.close`; None if another process still holds it after `timeout` seconds."""
    handle = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + timeout
    while not _locked(handle):
        if time.monotonic() > deadline:
            os.close(handle)
            return None
        time.sleep(POLL_INTERVAL_S)
    return handle


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: the user must not start two runs in one folder
        return True
    return True
