"""Times exact search among 1,000,000 made-up embeddings of 512 numbers, beside reading them once from memory, and the opening of an
encrypted gallery of 100,000.

python tests/benchmarks/gallery.py
python tests/benchmarks/gallery.py 200000      # another number of rows
python tests/benchmarks/gallery.py 100000 milvus:bench.db      # a gallery at this address, made and deleted, beside a file
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ppface.gallery import Gallery, ModelIdentity
from ppface.gallery.vectors import best

ROWS, SIZE, QUERIES, RUNS, OPENED = 1_000_000, 512, 32, 5, 100_000


def made_up(count: int, dtype: str) -> np.ndarray:
    rng, rows = np.random.default_rng(0), np.empty((count, SIZE), dtype)
    for start in range(0, count, 50_000):
        some = rng.standard_normal((min(50_000, count - start), SIZE), np.float32)
        rows[start : start + len(some)] = some / np.linalg.norm(some, axis=1, keepdims=True)
    return rows


def seconds(run: Callable) -> float:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def search(count: int, dtype: str) -> None:
    rows, owner = made_up(count, dtype), np.arange(count) // 2
    rng = np.random.default_rng(1)
    truth = rng.integers(0, count, QUERIES)
    queries = rows[truth].astype(np.float32) + 0.02 * rng.standard_normal((QUERIES, SIZE), np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    integers = rows.reshape(-1).view(np.int32)
    read = seconds(lambda: integers.max())
    one, many = seconds(lambda: best(rows, owner, queries[:1], 5)), seconds(lambda: best(rows, owner, queries, 5))
    print(f"{count:,} x {SIZE} {dtype}: read once {1000 * read:.0f} ms ({rows.nbytes / read / 1e9:.1f} GB/s)")
    print(
        f"  one query {1000 * one:.0f} ms, {one / read:.2f} times that; {QUERIES} queries {1000 * many:.0f} ms, {many / one:.2f} times one"
    )
    right = total = 0
    for query, (found, _) in zip(queries[:8], best(rows, owner, queries[:8], 5), strict=True):
        exact = np.concatenate([rows[start : start + 50_000].astype(np.float64) @ query for start in range(0, count, 50_000)])
        expected = np.maximum.reduceat(exact, np.arange(0, count, 2)).argsort()[-5:]
        right, total = right + len(set(owner[found]) & set(expected)), total + 5
    print(f"  recall of 5 people {right / total:.4f} against float64")


def opening(folder: Path) -> None:
    path, key, rows = folder / "people.db", os.urandom(32), made_up(OPENED, "float32")
    with Gallery.create(path, ModelIdentity("benchmark", SIZE), key) as gallery, gallery.database.transaction():
        begun = time.perf_counter()
        for i in range(0, OPENED, 100):
            gallery.add(f"person {i}", rows[i : i + 100])
    print(f"{OPENED:,} enrolled in {time.perf_counter() - begun:.1f} s, {path.stat().st_size / 1e6:.0f} MB")
    begun = time.perf_counter()
    with Gallery(path, key) as gallery:
        name = gallery.search(rows[5], threshold=0.9)[0][0].name
        print(f"encrypted gallery of {OPENED:,} opened and searched in {time.perf_counter() - begun:.2f} s ({name})")
        begun = time.perf_counter()
        gallery.remove("person 500")
        print(f"one person of 100 images removed and the file rebuilt in {time.perf_counter() - begun:.2f} s")


def at_address(folder: Path, address: str, count: int) -> None:
    rows, names = made_up(count, "float32"), {}
    queries = rows[:: count // QUERIES][:QUERIES] + 0.02 * np.random.default_rng(1).standard_normal((QUERIES, SIZE), np.float32)
    for path in (str(folder / "people.db"), address):
        with Gallery.create(path, ModelIdentity("benchmark", SIZE), encrypted=False) as gallery:
            try:
                begun = time.perf_counter()
                with gallery.database.transaction():
                    for i in range(0, count, 10):
                        gallery.add(f"person {i}", rows[i : i + 10])
                print(f"{path}: {count:,} enrolled in {time.perf_counter() - begun:.1f} s")
                names[path] = gallery.search(queries, 5, threshold=-1)
                one = seconds(lambda found=gallery: found.search(queries[0], 5, threshold=-1))
                many = seconds(lambda found=gallery: found.search(queries, 5, threshold=-1))
                print(f"  one query {1000 * one:.1f} ms, {QUERIES} queries {1000 * many:.0f} ms")
            finally:
                gallery.database.delete()
    here, there = ([[(match.name, match.score) for match in found] for found in some] for some in names.values())
    print(f"  people and scores are {'equal' if here == there else 'different'}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 2:
            at_address(Path(folder), sys.argv[2], count)
        else:
            for dtype in ("float32", "float16"):
                search(count, dtype)
            opening(Path(folder))


if __name__ == "__main__":
    main()
