"""Checks for a lack of memory or of space in /dev/shm, from which processes die."""

import os
from pathlib import Path

PROC = Path("/proc")
SHM = "/dev/shm"
LOW_SHM = 64 << 20  # bytes; the default size in containers
LOW_MEMORY = 0.05  # share of all memory


class ResourceMonitor:
    """Records at its start how many processes the system has killed because it ran out of memory."""

    def __init__(self) -> None:
        self._kills = _number("vmstat", "oom_kill")

    def hints(self) -> list[str]:
        """One line for each resource that is low now; none if all suffice or the system does not report them."""
        found = []
        if _number("vmstat", "oom_kill") > self._kills:
            found.append("the system has since killed a process because it ran out of memory")
        total, free = (_number("meminfo", f"{key}:") << 10 for key in ("MemTotal", "MemAvailable"))
        if free < LOW_MEMORY * total:
            found.append(f"memory is low: {free >> 20} of {total >> 20} MB are free")
        try:
            shm = os.statvfs(SHM)
        except OSError:
            return found
        room, size = shm.f_bavail * shm.f_frsize, shm.f_blocks * shm.f_frsize
        if min(room, size - 1) < LOW_SHM:
            found.append(f"{SHM} is small: {room >> 20} of {size >> 20} MB are free (docker run --shm-size=1g gives more)")
        return found


def _number(file: str, key: str) -> int:
    """The number of a key in a file of /proc; 0 if it is missing."""
    try:
        lines = (PROC / file).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [key]), 0)
