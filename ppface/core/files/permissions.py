"""A warning about files of keys that others can use."""

import functools
import os
import shlex
import stat
from pathlib import Path

from ppface.core.run.log import log

READ, WRITE = 0o077, 0o022


def warn(file: str | os.PathLike, forbidden: int, danger: str) -> None:
    """One line in the log, once a process, if group or others have one of these permissions on a regular file.

    Args:
        file: that was read.
        forbidden: READ: they may do nothing; WRITE: they may read.
        danger: what they can do, `can read this key`.
    """
    about = Path(file).stat()
    if stat.S_ISREG(about.st_mode) and about.st_mode & forbidden:
        _once(os.fspath(file), stat.S_IMODE(about.st_mode), "go=" if forbidden == READ else "go-w", danger)


@functools.cache
def _once(file: str, mode: int, change: str, danger: str) -> None:
    log.warning("%s: other users %s (its mode is %03o): chmod %s %s", file, danger, mode, change, shlex.quote(file))
