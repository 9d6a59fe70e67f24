"""Reads the picture files named on stdin, and prints one JSON line each: the result, or the exit status of a process that crashed.

python picture_reader.py ours|others FOLDER COUNT     COUNT files are read per process
"""

import hashlib
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ppface.data.pictures.picture import Picture


def peak() -> float:
    """Peak memory of this process in megabytes."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def ours(path: str) -> np.ndarray:
    return Picture.open(path).decode()


def pillow(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def opencv(path: str) -> np.ndarray:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.fromfile(path, np.uint8), flags)[:, :, ::-1]


def result(path: str, decode: Callable[[str], np.ndarray], folder: str) -> dict:
    start = time.process_time()
    try:
        pixels, error, reason = decode(path), "", ""
    except Exception as caught:
        pixels, error, reason = None, type(caught).__name__, str(caught)
    found: dict = {"path": path, "by": decode.__name__, "error": error, "reason": reason, "seconds": time.process_time() - start}
    found["megabytes"] = peak()
    if pixels is not None:
        found["shape"], found["digest"] = pixels.shape, hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()
        if pixels.size < 1 << 20:
            found["pixels"] = f"{folder}/{Path(path).name}.{decode.__name__}.npy"
            np.save(found["pixels"], pixels)
    return found


def in_a_process(jobs: list[tuple[str, Callable]], folder: str) -> int:
    """Prints the results of all jobs from a child process; returns its wait status."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))  # ends one that hangs
        lines = [json.dumps(result(path, decode, folder)) for path, decode in jobs]
        print("\n".join(lines), flush=True)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main() -> None:
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    decoders, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    jobs = [(line.rstrip("\n"), decode) for line in sys.stdin for decode in ([ours] if decoders == "ours" else [pillow, opencv])]
    for start in range(0, len(jobs), count):
        some = jobs[start : start + count]
        if not in_a_process(some, folder):
            continue
        for job in some:  # find the one that crashed
            if status := in_a_process([job], folder):
                print(json.dumps({"path": job[0], "by": job[1].__name__, "crash": status}), flush=True)


if __name__ == "__main__":
    main()
