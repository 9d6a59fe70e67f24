"""Training samples per second that one core prepares: 1024x768 JPEGs to 640x640 uint8 batches, full BlazeFace recipe.

    python tests/benchmarks/pipeline.py

Prints the rate by CPU time, its ratio to the published pipeline's, and the upper bound: only decoding the JPEGs on the same core.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import simplejpeg

from ppface.data.batch import collate
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import ColorDistort, DataAnchorSampling, Expand, Flip, Resize, SsdCrop

PUBLISHED = 6.4  # images/s/core of PaddleDetection's face recipe at these sizes, on a comparable CPU
HEIGHT, WIDTH, SIZE, BATCH, FACES, PICTURES = 768, 1024, (640, 640), 8, 12, 32


def recipe() -> Pipeline:
    """The published BlazeFace transforms, in order."""
    squares = SsdCrop(overlaps=[(0, 1)], square=True, coverage=1.0, whole=0.2)
    return Pipeline([ColorDistort(), Expand(), Flip(), DataAnchorSampling(SIZE, otherwise=squares), Resize(SIZE, min_side=4)])


def photograph(rng: np.random.Generator) -> np.ndarray:
    """Noise at all scales, stronger at coarse ones, as in photographs; its JPEG has 150 to 250 KB."""
    image = np.full((HEIGHT, WIDTH, 3), 120, np.float32)
    for columns, strength in ((4, 45), (16, 32), (64, 22), (256, 13), (1024, 5)):
        grey = rng.normal(size=(columns * HEIGHT // WIDTH, columns, 1))
        noise = (0.9 * grey + 0.4 * rng.normal(size=(*grey.shape[:2], 3))).astype(np.float32)
        image += strength * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def faces(rng: np.random.Generator) -> np.ndarray:
    sides = np.exp(rng.uniform(np.log(8), np.log(200), FACES))
    corner = rng.random((FACES, 2)) * (np.array([WIDTH, HEIGHT]) - 1.3 * sides[:, None])
    return np.concatenate([corner, corner + sides[:, None] * [1, 1.3]], axis=1).astype(np.float32)


def best(works: list[Callable[[], object]], times: int) -> list[float]:
    """CPU seconds of the fastest of several runs of each, run in turn; the minimum, as other load only adds time."""
    fastest = [float("inf")] * len(works)
    for _ in range(times):
        for i, work in enumerate(works):
            start = time.process_time()
            work()
            fastest[i] = min(fastest[i], time.process_time() - start)
    return fastest


def main() -> None:
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng, pipeline = np.random.default_rng(0), recipe()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(PICTURES)]
        for path in paths:
            path.write_bytes(simplejpeg.encode_jpeg(photograph(rng), quality=88, colorsubsampling="420"))
        labels = [{"gt_boxes": faces(rng), "gt_landmarks": rng.random((FACES, 5, 2)).astype(np.float32) * 700} for _ in paths]
        size = np.mean([path.stat().st_size for path in paths]) / 1024

        def prepare() -> None:
            for first in range(0, PICTURES, BATCH):
                chosen = range(first, first + BATCH)
                collate([pipeline({"picture": Picture.open(paths[i]), **labels[i]}, np.random.default_rng((0, 0, i))) for i in chosen])

        def decode() -> None:
            for path in paths:
                Picture.open(path).decode()

        rate, decode_rate = (PICTURES / seconds for seconds in best([prepare, decode], 15))
    print(f"{PICTURES} JPEGs of {WIDTH}x{HEIGHT}, {size:.0f} KB each, {FACES} faces -> {SIZE[1]}x{SIZE[0]}, batches of {BATCH}, one core")
    print(f"full recipe       {rate:7.1f} images/s   {rate / PUBLISHED:5.1f} times the published {PUBLISHED} (target: 10)")
    print(f"JPEG decode alone {decode_rate:7.1f} images/s   the recipe costs {decode_rate / rate:.2f} times the decode")


if __name__ == "__main__":
    main()
