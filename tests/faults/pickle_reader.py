"""Reads hostile files for pickles.py: a line of JSON each, [how, path], answered by one of what came of it.

Each is read by a fork of this process with a limit on memory and time, so that its peak memory is its own, and nothing that it breaks
reaches the next. What Python would report of code that runs (sys.addaudithook) is part of the answer.
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

SECONDS, BYTES = 20, 1 << 30  # of one file; more memory than there was at the start
TELLTALE = (
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
    if event.startswith(TELLTALE):
        events.append(event)


def python(path: str) -> object:
    """Python's own unpickler, to show that the files are what they say."""
    return pickle.loads(Path(path).read_bytes())


READERS: dict[str, Callable] = {"arrays": read_arrays, "pairs": read_pictures_and_flags, "python": python}


def read(how: str, path: str) -> dict:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    events.clear()
    start = time.process_time()  # other processes of this machine are not the file's doing
    try:
        READERS[how](path)
        error, told = "", ""
    except UserError as refusal:
        error, told = type(refusal).__name__, str(refusal)
    except BaseException as crash:
        error, told = f"crash: {type(crash).__name__}", ""
    return {"error": error, "told": told[:2000], "seconds": time.process_time() - start, "events": events[:5]}


def main() -> None:
    copyreg.add_extension("posix", "system", 240)  # what EXT1 needs to work
    for how in ("arrays", "pairs"):  # so that what they import is there
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
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a hostile file prints is no answer
            with os.fdopen(outward, "w") as pipe:
                pipe.write(json.dumps(read(*json.loads(line))))
            os._exit(0)
        os.close(outward)
        with os.fdopen(inward) as pipe:
            answer = pipe.read()
        _, status, usage = os.wait4(child, 0)
        died = {
            "error": f"crash: {signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status}",
            "told": "",
            "events": [],
        }
        found = json.loads(answer) if answer else died | {"seconds": SECONDS}
        print(json.dumps(found | {"megabytes": usage.ru_maxrss / 1024}), flush=True)


if __name__ == "__main__":
    main()
