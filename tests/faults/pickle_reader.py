"""Reads hostile files for pickles.py: one JSON line per file on stdin, [how, path], and one JSON line with the result on stdout.

Each file is read in a fork of this process with limited memory and time, so that peak memory is measured per file and a crash does not
affect the next. Audit events of executed code (sys.addaudithook) are part of the result.
"""

import contextlib
import copyreg
import gc
import json
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ppface.core.errors import UserError
from ppface.core.files.arrays import read_arrays, read_pictures_and_flags

SECONDS, BYTES = 20, 1 << 30  # limits per file: CPU time, and memory above that at the start
SUSPICIOUS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "exec",
    "compile",
    "ctypes",
    "socket",
    "import",
)
events: list[str] = []


def watch(event: str, _arguments: tuple) -> None:
    if event.startswith(SUSPICIOUS):
        events.append(event)


def python(path: str) -> object:
    """Python's own unpickler, to check that the files do execute code."""
    return pickle.loads(Path(path).read_bytes())


READERS: dict[str, Callable] = {"arrays": read_arrays, "pairs": read_pictures_and_flags, "python": python}


def read(how: str, path: str) -> dict:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    events.clear()
    start = time.process_time()  # independent of other processes on this machine
    try:
        READERS[how](path)
        error, message = "", ""
    except UserError as refusal:
        error, message = type(refusal).__name__, str(refusal)
    except BaseException as crash:
        error, message = f"crash: {type(crash).__name__}", ""
    return {"error": error, "message": message[:2000], "seconds": time.process_time() - start, "events": events[:5]}


def main() -> None:
    copyreg.add_extension("posix", "system", 240)  # required by EXT1
    for how in ("arrays", "pairs"):  # imports what they need
        with contextlib.suppress(UserError):
            READERS[how](sys.argv[1])
    for file in sys.argv[2:]:
        read_arrays(file)
    sys.addaudithook(watch)
    gc.freeze()
    for line in sys.stdin:
        inward, outward = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(inward)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # keeps prints of a hostile file out of the results
            with os.fdopen(outward, "w") as pipe:
                pipe.write(json.dumps(read(*json.loads(line))))
            os._exit(0)
        os.close(outward)
        with os.fdopen(inward) as pipe:
            answer = pipe.read()
        _, status, usage = os.wait4(child, 0)
        died = {
            "error": f"crash: {signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status}",
            "message": "",
            "events": [],
        }
        found = json.loads(answer) if answer else died | {"seconds": SECONDS}
        print(json.dumps(found | {"megabytes": usage.ru_maxrss / 1024}), flush=True)


if __name__ == "__main__":
    main()
