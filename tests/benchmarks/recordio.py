"""Rate of reading pictures from a .rec, against only decoding them; time and memory to open an index of five million records.

    python tests/benchmarks/recordio.py

Both rates are measured in one run on one core by CPU time, in turn, over the same pictures in the same random order.
"""

import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import simplejpeg

from ppface.data.pictures.picture import Picture
from ppface.data.recordio.record_file import RecordFile
from ppface.data.recordio.record_writer import RecordWriter, packed

PICTURES, SIDE, RECORDS, STEP = 3000, 112, 5_000_000, 8000


def face(rng: np.random.Generator) -> bytes:
    """Noise at all scales, stronger at coarse ones; its JPEG has about 5 KB, like aligned faces."""
    image = np.full((SIDE, SIDE, 3), 120, np.float32)
    for columns, strength in ((4, 45), (14, 25), (56, 10), (112, 4)):
        image += strength * cv2.resize(
            rng.normal(size=(columns, columns, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
        )
    return simplejpeg.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=90, colorsubsampling="420")


def rates(folder: Path) -> None:
    rng = np.random.default_rng(0)
    data = [face(rng) for _ in range(PICTURES)]
    with RecordWriter(folder / "faces.rec") as writer:
        for i, code in enumerate(data):
            writer.add(code, i // 10)
    read, order = RecordFile(folder / "faces.rec"), rng.permutation(PICTURES).tolist()
    functions = {
        "JPEG decode alone": lambda i: simplejpeg.decode_jpeg(data[i], "RGB"),
        "record + the same decode": lambda i: simplejpeg.decode_jpeg(read[i][0], "RGB"),
        "decode, checked (Picture)": lambda i: Picture.encoded(data[i], "").decode(),
        "record + checked decode": lambda i: Picture.encoded(read[i][0], read.name(i)).decode(),
    }
    fastest = dict.fromkeys(functions, float("inf"))
    for _ in range(9):
        for name, function in functions.items():
            start = time.process_time()
            for i in order:
                function(i)
            fastest[name] = min(fastest[name], time.process_time() - start)
    print(f"{PICTURES} JPEGs of {SIDE}x{SIDE}, {np.mean([len(code) for code in data]) / 1024:.1f} KB each, random order, one core")
    floor = fastest["JPEG decode alone"]
    for name, seconds in fastest.items():
        print(f"{name:<26}{PICTURES / seconds:8.0f} per second   {floor / seconds:6.1%} of the decode-only rate")


def write_index(folder: Path) -> Path:
    """Five million lines; the .rec is a sparse file with only the first and last record."""
    rec = folder / "large.rec"
    with rec.with_suffix(".idx").open("w") as file:
        for start in range(0, RECORDS, 500_000):
            file.write("".join(f"{key}\t{key * STEP}\n" for key in range(start, start + 500_000)))
    with rec.open("wb") as file:
        for key in (0, RECORDS - 1):
            file.seek(key * STEP)
            file.write(packed(0, b"\xff\xd8\xff", key))
    return rec


def open_index(path: Path) -> tuple[float, float]:
    """Seconds, and growth of the process's peak memory in megabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    read = RecordFile(path)
    seconds = time.perf_counter() - start
    assert len(read) == RECORDS
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        rates(Path(folder))
        path = write_index(Path(folder))
        runs = []
        for _ in range(5):
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                runs.append(fresh.submit(open_index, path).result())
    seconds, megabytes = min(runs)[0], max(size for _, size in runs)
    print(f"opening an index of {RECORDS:,} records: {seconds:.2f} s (target: 2), {megabytes:.0f} MB peak (target: 200)")


if __name__ == "__main__":
    main()
