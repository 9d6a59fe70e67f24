"""Time of the WIDER FACE evaluation: all three subsets, 3,226 pictures with 200 predictions each.

    python tests/benchmarks/wider_evaluation.py [folder of the real data, with wider/ground_truth]

The ratio is to the protocol written as plain loops (tests/evaluators/test_ap.py), which is timed on a few pictures and extrapolated.
With the folder, the real labels are used, otherwise random ones for as many pictures; and the AP of the published curves is listed.
The 95 % intervals of 1,000 resamples are timed on a public RetinaFace's 143,889 predictions of the folder, otherwise on the random ones.
"""

import os
import runpy
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ppface.evaluators.ap import average_precision, curves  # noqa: E402
from ppface.evaluators.bootstrap import intervals  # noqa: E402
from ppface.evaluators.wider_files import SUBSETS, in_order, read_ground_truth  # noqa: E402

PICTURES, PREDICTIONS, SLOW_PICTURES, RESAMPLES = 3226, 200, 30, 1000


def labels(folder: Path, rng: np.random.Generator) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Faces (x, y, w, h) of every picture and which of them count in each subset."""
    if (folder / "wider" / "ground_truth").is_dir():
        truth = read_ground_truth(folder / "wider" / "ground_truth")
        return truth.faces, truth.counted
    counts = rng.geometric(1 / 12, PICTURES)
    faces = [np.concatenate([rng.uniform(0, 900, (n, 2)), rng.uniform(4, 90, (n, 2))], axis=1) for n in counts]
    share = dict(zip(SUBSETS, (0.18, 0.34, 0.8), strict=True))
    return faces, {subset: rng.random(counts.sum()) < part for subset, part in share.items()}


def predict(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """200 rows x, y, w, h, score, half of them near faces."""
    near = boxes[rng.integers(0, len(boxes), PREDICTIONS // 2)] + rng.normal(size=(PREDICTIONS // 2, 4))
    far = np.concatenate([rng.uniform(0, 900, (PREDICTIONS // 2, 2)), rng.uniform(4, 90, (PREDICTIONS // 2, 2))], axis=1)
    return np.concatenate([np.concatenate([near, far]), rng.random((PREDICTIONS, 1))], axis=1)


def resampled(folder: Path, predictions: list[np.ndarray], faces: list[np.ndarray], counted: dict[str, np.ndarray]) -> None:
    """Times the intervals, on the predictions of the folder if they are there."""
    file = folder / "wider" / "predictions_retinaface.npz"
    if file.is_file():
        with np.load(file) as stored:
            parts = np.split(stored["boxes"], stored["offsets"][1:-1])
            found = {tuple(key.split("/")): part for key, part in zip(stored["keys"].tolist(), parts, strict=True)}
        predictions = in_order(found, read_ground_truth(folder / "wider" / "ground_truth").names)
    start = time.perf_counter()
    both = intervals(predictions, faces, counted, RESAMPLES)
    seconds = time.perf_counter() - start
    print(f"{RESAMPLES} resamples of {len(faces)} pictures, {sum(map(len, predictions))} predictions: {seconds:.2f} s")
    print("95 %: " + ", ".join(f"{subset} {low:.4f} to {high:.4f}" for subset, (low, high) in both.items()))


def published(folder: Path) -> None:
    """Lists the AP of the published precision-recall curves."""
    from scipy.io import loadmat

    for detector in sorted((folder / "wider" / "pr_curves_val").glob("*")):
        row = []
        for subset in SUBSETS:
            path = detector / f"wider_pr_info_{detector.name}_{subset}_val.mat"
            if b"HDF5" in path.read_bytes()[:128]:
                import h5py

                curve = np.array(h5py.File(path)["pr_cruve"]).T  # the site's spelling
            else:
                curve = loadmat(path)["pr_cruve"]
            row.append(average_precision(curve[:, 1], curve[:, 0]))
        print(f"{detector.name:12s}" + "".join(f"{ap:9.4f}" for ap in row))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PPFACE_DATA", ROOT.parent / "shared" / "data"))
    rng = np.random.default_rng(0)
    faces, counted = labels(folder, rng)
    predictions = [predict(boxes, rng) for boxes in faces]

    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        curves(predictions, faces, counted)
        best = min(best, time.perf_counter() - start)

    reference = runpy.run_path(str(ROOT / "tests" / "evaluators" / "test_ap.py"))["reference"]
    some = rng.permutation(len(faces))[:SLOW_PICTURES]
    ends = np.cumsum([len(boxes) for boxes in faces])[:-1]
    start = time.perf_counter()
    for mask in counted.values():
        masks = np.split(mask, ends)
        reference([predictions[i] for i in some], [faces[i] for i in some], [masks[i] for i in some])
    slow = (time.perf_counter() - start) * len(faces) / SLOW_PICTURES

    print(f"{len(faces)} pictures, {PREDICTIONS} predictions each, {sum(map(len, faces))} faces, three subsets: {best:.2f} s (best of 5)")
    resampled(folder, predictions, faces, counted)
    print(f"plain loops: {slow:.0f} s (extrapolated from {SLOW_PICTURES} pictures); ratio {slow / best:.0f}x")
    published(folder)


if __name__ == "__main__":
    main()
