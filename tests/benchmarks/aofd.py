"""Does AOFD find more occluded faces? A small detector trained with and without it, same steps, data and seeds, on one core.

    python tests/benchmarks/aofd.py MASKED_FACES [STEPS] [SEEDS] [PART ...]

MASKED_FACES: a folder of photographs in VOC layout (Kaggle, andrewmvd/face-mask-detection, with Spanish class names); the last 113 are
held out. STEPS: of every training, 400. SEEDS: trainings of every arm, 2. PART: `drawn`, `photographs`; both if none is given.

drawn: trained on synthetic faces, of which one in seven is behind an object, with the occlusion branch; tested on 400 held-out ones, each
with an object in front of it. photographs: trained on crops of the other photographs, without occlusion branch (no masks are known); tested
on faces with masks, at least 16 pixels high.

Prints the recall at 0.1 and 1 false positives a picture and AP, as means over the seeds, and the difference with a 95 % interval: 1000
resamples of the test pictures, the same for all trainings. The interval has the chance of the pictures, not that of the trainings, whose
size the differences of the single seeds show. Prints the CPU time of the trainings too.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESAMPLES, HELD_OUT = 1000, 113
MASKED = ["con_mascarilla", "mascarilla_mal_puesta"]
PLAIN = "loss={name: SSDLoss, overlap_threshold: 0.35, negative_ratio: 3}"
MEASURES = ("recall at 0.1", "recall at 1", "AP")


def train(folder: Path, options: list[str]) -> float:
    """The seconds of CPU time of a training with configs/detection/aofd_drawn.yml and these options."""
    command = [sys.executable, str(ROOT / "tools" / "train.py"), "-c", str(ROOT / "configs/detection/aofd_drawn.yml")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--folder", str(folder), "-o", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def found(run: Path, dataset, counted: list[np.ndarray], size) -> dict[str, np.ndarray]:
    """Predictions of a whole set: their picture, score, and whether each is a hit or a false positive; and the counted faces a picture."""
    from ppface import predict
    from ppface.evaluators import ap
    from ppface.evaluators.detect import detect
    from ppface.ops.boxes import to_xywh

    boxes = detect(predict.load_predictor(run), lambda i: dataset[i]["picture"], len(dataset), size, None, 1)
    rows = [np.concatenate([to_xywh(one[:, :4]), one[:, 4:]], axis=1) for one in boxes]
    faces = [to_xywh(dataset[i]["gt_boxes"].astype("float64")) for i in range(len(dataset))]
    face, scores = ap.match(rows, faces, faceless=True), np.concatenate([one[:, 4] for one in rows])
    first = ap.first_of_each(face, scores, sum(map(len, faces)))
    counts = np.append(np.concatenate(counted), [True, True])[face]  # one that is no face always counts
    order = np.argsort(-scores, kind="stable")
    picture = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
    parts = {"picture": picture, "score": scores, "hit": (face >= 0) & first & counts, "wrong": counts & ~((face >= 0) & first)}
    return {name: value[order] for name, value in parts.items()} | {"faces": np.array([mine.sum() for mine in counted])}


def measures(parts: dict[str, np.ndarray], times: np.ndarray) -> np.ndarray:
    """The MEASURES if picture i occurs times[i] times."""
    from ppface.evaluators.ap import average_precision

    weight = times[parts["picture"]]
    hits, wrong = np.cumsum(weight * parts["hit"]), np.cumsum(weight * parts["wrong"])
    recall = np.append(0, hits) / max(1, (times * parts["faces"]).sum())
    at = [recall[np.searchsorted(wrong, rate * times.sum(), side="right")] for rate in (0.1, 1.0)]
    return np.array([*at, average_precision(recall[1:], hits / np.maximum(hits + wrong, 1))])


def parts_of(masked_faces: str) -> dict[str, tuple]:
    """Part -> (options of both arms, options of AOFD, test set, which of its faces count, test size)."""
    from ppface.data import Subset, SyntheticFaces, VocFaces
    from ppface.ops.resize import TestSize

    drawn = SyntheticFaces(400, (96, 96), 1, (0, 3), (0.2, 0.7), difficulty=0.2, occluders=1.0)
    every = [np.ones(len(drawn[i]["gt_boxes"]), bool) for i in range(len(drawn))]
    photographs, masked = (Subset(VocFaces(masked_faces, classes=classes), start=-HELD_OUT) for classes in (None, MASKED))
    counted = []
    for i in range(len(photographs)):
        boxes, own = photographs[i]["gt_boxes"], masked[i]["gt_boxes"]
        counted.append((boxes[:, None] == own[None]).all(axis=2).any(axis=1) & (boxes[:, 3] - boxes[:, 1] >= 16))
    data = f"train.dataset={{name: Subset, stop: -{HELD_OUT}, dataset: {{name: VocFaces, root: {masked_faces}}}}}"
    crops = "train.transforms=[{name: ColorDistort}, {name: Flip}, {name: SquareCrop}, {name: Resize, size: [96, 96], min_side: 6}]"
    return {
        "drawn": ([], [], drawn, every, None),
        "photographs": ([data, crops], ["loss.occlusion_weight=0"], photographs, counted, TestSize()),
    }


def compare(part: str, setting: tuple, steps: int, seeds: int) -> None:
    both, own, dataset, counted, size = setting
    common = [*both, "processes=1", "evaluators=[]", "trainer.epochs=null", f"trainer.iterations={steps}"]
    arms: dict[str, list[str]] = {"without": [PLAIN], "with AOFD": own}
    results: dict[str, list] = {arm: [] for arm in arms}
    seconds = dict.fromkeys(arms, 0.0)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(seeds):
            for arm, options in arms.items():
                run = Path(temporary) / f"{arm} {seed}"
                seconds[arm] += train(run, [*common, *options, f"seed={seed}"])
                results[arm].append(found(run, dataset, counted, size))
    rng, pictures = np.random.default_rng(0), len(dataset)
    times = [np.ones(pictures, int), *rng.multinomial(pictures, np.full(pictures, 1 / pictures), RESAMPLES)]
    table = np.array([[[measures(one, again) for one in results[arm]] for arm in arms] for again in times])  # resample, arm, seed, measure
    apart = table[:, 1] - table[:, 0]
    low, high = np.quantile(apart[1:].mean(axis=1), (0.025, 0.975), axis=0)
    print(f"{part}: {sum(map(np.sum, counted))} occluded faces in {pictures} pictures; {steps} steps, {seeds} seeds")
    for i, name in enumerate(MEASURES):
        values = ", ".join(f"{arm} {table[0, row, :, i].mean():.3f}" for row, arm in enumerate(arms))
        single = ", ".join(f"{value:+.3f}" for value in apart[0, :, i])
        print(f"  {name}: {values}; difference {apart[0, :, i].mean():+.3f} ({low[i]:+.3f} to {high[i]:+.3f}), by seed {single}")
    print("  CPU seconds of all trainings: " + ", ".join(f"{arm} {value:.0f}" for arm, value in seconds.items()), flush=True)


def main() -> None:
    masked_faces, *rest = sys.argv[1:]
    steps, seeds = int(rest[0]) if rest else 400, int(rest[1]) if rest[1:] else 2
    settings = parts_of(masked_faces)
    for part in rest[2:] or settings:
        compare(part, settings[part], steps, seeds)


if __name__ == "__main__":
    main()
