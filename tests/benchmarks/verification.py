"""Time of ten-fold scoring of 6,000 pairs of 512-d embeddings, without computing the embeddings.

    python tests/benchmarks/verification.py

The ratio is to the protocol written as plain loops over folds and thresholds (tests/evaluators/test_verification.py).
"""

import runpy
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ppface.evaluators.verification import evaluate  # noqa: E402

PAIRS, SIZE, REPEATS = 6000, 512, 30


def main() -> None:
    rng = np.random.default_rng(0)
    issame = np.tile(np.repeat([True, False], PAIRS // 20), 10)
    one, other = rng.normal(size=(2, PAIRS, SIZE)).astype("float32")
    two = np.where(issame[:, None], 0.15 * one + other, other).astype("float32")

    walls, cores = [], []
    for _ in range(REPEATS):
        wall, core = time.perf_counter(), time.process_time()
        got = evaluate(one, two, issame)
        walls.append(time.perf_counter() - wall)
        cores.append(time.process_time() - core)

    reference = runpy.run_path(str(ROOT / "tests" / "evaluators" / "test_verification.py"))["reference"]
    core = time.process_time()
    want = reference(one, two, issame, 10)
    slow = time.process_time() - core
    assert all(abs(got[name] - value) < 1e-9 for name, value in want.items())

    fast = float(np.median(cores))
    spread = f"{1000 * min(walls):.1f} / {1000 * np.median(walls):.1f} / {1000 * max(walls):.1f} ms"
    print(f"{PAIRS} pairs x {SIZE}: {1000 * fast:.1f} ms of one core (median of {REPEATS}); wall time min / median / max {spread}")
    print(f"plain loops: {slow:.2f} s of one core, same results; ratio {slow / fast:.0f}x")


if __name__ == "__main__":
    main()
