"""Times the template protocol at IJB-C's size: 469,375 embeddings of 512 numbers twice, 23,124 templates, 15,658,489 pairs, all made up.

Then the loops of the usual script, eval_ijbc.py of https://github.com/deepinsight/insightface, on a tenth of the templates and pairs.

python tests/benchmarks/templates.py
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ppface.evaluators.templates import verify

IMAGES, TEMPLATES, GALLERY, PAIRS, DIMENSIONS = 469_375, 23_124, 3_531, 15_658_489, 512
SHARE = 10  # the loops run on 1 / SHARE of the templates and pairs


def made_up() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    template = np.sort(np.r_[np.arange(TEMPLATES), rng.integers(0, TEMPLATES, IMAGES - TEMPLATES)])
    embedding = rng.standard_normal((IMAGES, DIMENSIONS), np.float32)
    pairs = np.stack(np.divmod(rng.permutation(GALLERY * (TEMPLATES - GALLERY))[:PAIRS], TEMPLATES - GALLERY), axis=1)
    return {
        "embedding": embedding,
        "flipped": embedding[::-1],
        "template": template[rng.permutation(IMAGES)],
        "media": rng.integers(0, 6, IMAGES),
        "pairs": pairs + [0, GALLERY],
        "same": rng.random(PAIRS) < 19_557 / PAIRS,
    }


def loops(data: dict[str, np.ndarray]) -> None:
    """Template after template, media after media, pairs by gathered float64 rows, as the usual script; sorting as in numpy."""
    x = data["embedding"] + data["flipped"]
    vectors = np.zeros((TEMPLATES, DIMENSIONS))
    for wanted in range(0, TEMPLATES, SHARE):
        (rows,) = np.where(data["template"] == wanted)
        media = [x[rows][data["media"][rows] == one].mean(axis=0) for one in np.unique(data["media"][rows])]
        vectors[wanted] = np.sum(media, axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    pairs = data["pairs"][: PAIRS // SHARE]
    scores = np.concatenate([(vectors[p[:, 0]] * vectors[p[:, 1]]).sum(-1) for p in np.array_split(pairs, len(pairs) // 100_000 + 1)])
    np.sort(scores)


def timed(run: Callable, **data: Any) -> tuple[float, float]:
    """Seconds on the clock and of CPU; on a busy machine only the latter can be compared."""
    begun, used = time.perf_counter(), time.process_time()
    run(**data)
    return time.perf_counter() - begun, time.process_time() - used


def main() -> None:
    data = made_up()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    ours, cpu = timed(verify, **data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"verify: {ours:.1f} s ({cpu:.1f} s of CPU), peak memory {peak:.1f} GiB ({held:.1f} GiB before the call, with the made-up data)")
    theirs, their_cpu = (SHARE * seconds for seconds in timed(loops, data=data))
    print(f"loops of the usual script: {theirs:.0f} s ({their_cpu:.0f} s of CPU), {SHARE} times what 1 / {SHARE} took")
    print(f"they take {theirs / ours:.0f} times as long, {their_cpu / cpu:.0f} times as much CPU")


if __name__ == "__main__":
    main()
