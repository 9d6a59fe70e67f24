"""What a machine lacks when processes die of it: memory, or room in /dev/shm."""

import os
from pathlib import Path

PROC = Path("/proc")
SHM = "/dev/shm"
SMALL = 64 << 20  # bytes; what containers get by default
SHORT = 0.05  # share of the memory


class Shortage:
    """Remembers how often the system has killed processes for want of memory until now."""

    def __init__(self) -> None:
        self._kills = _number("vmstat", "oom_kill")

    def hints(self) -> list[str]:
        """One line for each shortage that there is now; none on a machine that lacks nothing, or does not tell."""
        found = []
        if _number("vmstat", "oom_kill") > self._kills:
            found.append("meanwhile the system has killed a process for want of memory")
        total, free = (_number("meminfo", f"{key}:") << 10 for key in ("MemTotal", "MemAvailable"))
        if free < SHORT * total:
            found.append(f"memory is short: {free >> 20} of {total >> 20} MB are free")
        try:
            shm = os.statvfs(SHM)
        except OSError:
            return found
        room, size = shm.f_bavail * shm.f_frsize, shm.f_blocks * shm.f_frsize
        if min(room, size - 1) < SMALL:
            found.append(f"{SHM} is small: {room >> 20} of {size >> 20} MB are free (docker run --shm-size=1g gives more)")
        return found


def _number(file: str, key: str) -> int:
    """The number that stands beside a key in a file of /proc; 0 where there is none."""
    try:
        lines = (PROC / file).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [key]), 0)
