"""Does AOFD find more occluded faces? A small detector trained with and without it, same steps, data and seeds, on one core.

    python tests/benchmarks/aofd.py MASKED_FACES [STEPS] [SEEDS]

MASKED_FACES: a folder of photographs in VOC layout (Kaggle, andrewmvd/face-mask-detection, with Spanish class names); the last 113 are
held out. STEPS: of every training on drawn faces, 450. SEEDS: trainings of every arm, 2.

drawn: trained on synthetic faces, of which one in seven is behind an object, AOFD with its occlusion branch; tested on 400 held-out ones,
each with an object in front of it. photographs: trained further, half as many steps, on crops of the other photographs, without the branch
(no masks are known); tested with the longer side at 192 pixels on faces with masks, at least 32 pixels high in the photograph.

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


def evaluation_sets(masked_faces: str) -> dict[str, tuple]:
    """Part -> (test set, which faces of each picture count, test size)."""
    from ppface.data import Subset, SyntheticFaces, VocFaces
    from ppface.ops.resize import TestSize

    drawn = SyntheticFaces(400, (96, 96), 1, (0, 3), (0.2, 0.7), difficulty=0.2, occluders=1.0)
    every = [np.ones(len(drawn[i]["gt_boxes"]), bool) for i in range(len(drawn))]
    photographs, masked = (Subset(VocFaces(masked_faces, classes=classes), start=-HELD_OUT) for classes in (None, MASKED))
    counted = []
    for i in range(len(photographs)):
        boxes, own = photographs[i]["gt_boxes"], masked[i]["gt_boxes"]
        counted.append((boxes[:, None] == own[None]).all(axis=2).any(axis=1) & (boxes[:, 3] - boxes[:, 1] >= 32))
    return {"drawn": (drawn, every, None), "photographs": (photographs, counted, TestSize("long_side", (192, 192)))}


def report(part: str, results: list[list[dict]], dataset, counted: list[np.ndarray]) -> None:
    """Prints the comparison of two arms of as many seeds."""
    rng, pictures = np.random.default_rng(0), len(dataset)
    times = [np.ones(pictures, int), *rng.multinomial(pictures, np.full(pictures, 1 / pictures), RESAMPLES)]
    table = np.array([[[measures(one, again) for one in arm] for arm in results] for again in times])  # resample, arm, seed, measure
    apart = table[:, 1] - table[:, 0]
    low, high = np.quantile(apart[1:].mean(axis=1), (0.025, 0.975), axis=0)
    print(f"{part}: {sum(map(np.sum, counted))} occluded faces in {pictures} pictures, {len(results[0])} seeds")
    for i, name in enumerate(MEASURES):
        without, with_it = table[0, :, :, i].mean(axis=1)
        single = ", ".join(f"{value:+.3f}" for value in apart[0, :, i])
        difference = f"{apart[0, :, i].mean():+.3f} ({low[i]:+.3f} to {high[i]:+.3f}), by seed {single}"
        print(f"  {name}: without {without:.3f}, with AOFD {with_it:.3f}; difference {difference}", flush=True)


def main() -> None:
    masked_faces, *rest = sys.argv[1:]
    steps, seeds = int(rest[0]) if rest else 450, int(rest[1]) if rest[1:] else 2
    data = f"train.dataset={{name: Subset, stop: -{HELD_OUT}, dataset: {{name: VocFaces, root: {masked_faces}}}}}"
    squares = "{name: SquareCrop, scales: [0.2, 0.3, 0.45, 0.6]}"
    crops = f"train.transforms=[{{name: ColorDistort}}, {{name: Flip}}, {squares}, {{name: Resize, size: [96, 96], min_side: 6}}]"
    arms = {"without": ([PLAIN], [PLAIN]), "with AOFD": ([], ["loss.occlusion_weight=0"])}
    sets = evaluation_sets(masked_faces)
    results: dict[str, list[list]] = {part: [[] for _ in arms] for part in sets}
    seconds = dict.fromkeys(arms, 0.0)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(seeds):
            for row, (arm, options) in enumerate(arms.items()):
                runs = [Path(temporary) / f"{part} {arm} {seed}" for part in sets]
                common = ["processes=1", "evaluators=[]", "trainer.epochs=null", f"seed={seed}"]
                seconds[arm] += train(runs[0], [*common, f"trainer.iterations={steps}", *options[0]])
                further = [*common, f"trainer.iterations={steps // 2}", f"weights={runs[0]}", data, crops]
                seconds[arm] += train(runs[1], [*further, *options[1]])
                for run, (part, setting) in zip(runs, sets.items(), strict=True):
                    results[part][row].append(found(run, *setting))
    for part, (dataset, counted, _) in sets.items():
        report(part, results[part], dataset, counted)
    print("CPU seconds of all trainings: " + ", ".join(f"{arm} {value:.0f}" for arm, value in seconds.items()))


if __name__ == "__main__":
    main()
