"""Times the template protocol at IJB-C's size: 469,375 embeddings of 512 numbers twice, 23,124 templates, 15,658,489 pairs, all made up.

Then the loops of the usual script on a tenth of it.

python tests/benchmarks/templates.py
"""

import resource
import time

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


def main() -> None:
    data = made_up()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, used = time.perf_counter(), time.process_time()
    verify(**data)
    ours, used = time.perf_counter() - begun, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"verify: {ours:.1f} s ({used:.1f} s of CPU), peak memory {peak / 2**20:.1f} GiB ({held / 2**20:.1f} GiB before the call, the made-up data included)"
    )
    begun = time.perf_counter()
    loops(data)
    theirs = SHARE * (time.perf_counter() - begun)
    print(f"loops of the usual script: {theirs:.0f} s ({SHARE} times a {SHARE}th), {theirs / ours:.0f} times as long")


if __name__ == "__main__":
    main()
