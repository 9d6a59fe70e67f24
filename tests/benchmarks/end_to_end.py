"""Verification from photographs through FacePipeline against given aligned crops, and open-set identification, on CFP.

    python tests/benchmarks/end_to_end.py DATA [CACHE] [LANDMARKS]

DATA: a folder with cfp/raw (people 001 to 015), cfp/aligned112 (people 001 to 400) and weights/ (a public RetinaFace mobilenet0.25 and a public
MobileFaceNet). CACHE: where embeddings are kept (default: in the system's temporary folder). LANDMARKS: a landmark model that is run after the
detectors as well.

Verification: all pairs of one person among the 15, and as many of two people, drawn once; accuracy is that of ten folds. Each detector is compared
with the given crops on the same pairs; a photograph without a detected face is counted, and its pairs are left out of both. Of several faces the
largest is taken. Identification: two frontal pictures each of people 001 to 100 are enrolled, the others of these people and all of 101 to 150 are
searched by the best image; the threshold is where the stated share of pairs of a frontal and any picture of two people among 151 to 400 scores
higher (some profiles that are hardly aligned resemble each other). Intervals: 95 %, people resampled; where nothing or everything happened, the
exact bound for as many people.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ppface import FacePipeline, predict  # noqa: E402
from ppface.data.pictures.picture import Picture  # noqa: E402
from ppface.evaluators.verification import evaluate  # noqa: E402
from ppface.ops.embedding import embed  # noqa: E402

RATES = (1e-2, 1e-3, 1e-4, 1e-5)
CONFIGS = ROOT / "configs"


def embedder(data: Path):
    names = CONFIGS / "weights" / "arcface_mobilefacenet_pytorch.yaml"
    return predict.load(
        CONFIGS / "recognition" / "adaface_mobilefacenet_cfp.yml", data / "weights" / "mobilefacenet_arcface.pth", names=names
    )


def retinaface(data: Path):
    names = CONFIGS / "weights" / "retinaface_pytorch.yaml"
    return predict.load(
        CONFIGS / "detection" / "retinaface_mobilenet025.yml", data / "weights" / "retinaface_mobilenet025.pth", names=names
    )


def kept(file: Path, make) -> np.ndarray:
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, make())
    return np.load(file, allow_pickle=False)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def of_crops(model, files: list[Path]) -> np.ndarray:
    return np.concatenate([embed(model.predict, [Picture.open(f).decode() for f in files[i : i + 64]]) for i in range(0, len(files), 64)])


def of_photographs(pipeline: FacePipeline, files: list[Path]) -> np.ndarray:
    """One embedding a photograph, of its largest face; NaN without a face."""
    rows = []
    for file in files:
        faces = [face for face in pipeline(file) if face.embedding is not None]
        area = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in faces]
        rows.append(faces[int(np.argmax(area))].embedding if faces else np.full(128, np.nan))
    return np.array(rows)


def verification(given: np.ndarray, found: np.ndarray, people: np.ndarray, profile: np.ndarray) -> None:
    first, second = np.triu_indices(len(people), 1)
    same = people[first] == people[second]
    rng = np.random.default_rng(0)
    chosen = np.r_[np.flatnonzero(same), rng.choice(np.flatnonzero(~same), same.sum(), replace=False)]
    chosen = rng.permutation(chosen)
    first, second, same = first[chosen], second[chosen], same[chosen]
    seen = np.isfinite(found).all(axis=1)
    kinds = {
        "all": np.ones(len(same), bool),
        "frontal-frontal": ~profile[first] & ~profile[second],
        "frontal-profile": profile[first] ^ profile[second],
    }
    print(
        f"  photographs without a face: {(~seen).sum()} of {len(seen)}; cosine to the given crop's embedding, median and worst tenth: ",
        end="",
    )
    print("{:.3f} {:.3f}".format(*np.quantile((unit(given[seen]) * unit(found[seen])).sum(axis=1), [0.5, 0.1])))
    for kind, of_kind in kinds.items():
        used = of_kind & seen[first] & seen[second]
        accuracy = [evaluate(x[first[used]], x[second[used]], same[used])["accuracy"] for x in (given, found)]
        change = 100 * (accuracy[1] - accuracy[0])
        print(
            f"  {kind}: {used.sum()} pairs ({of_kind.sum() - used.sum()} left out): given {accuracy[0]:.4f}, pipeline {accuracy[1]:.4f}, {change:+.2f} points"
        )


def interval(hits: np.ndarray, people: np.ndarray) -> str:
    """Share of hits with its 95 % interval over people."""
    ids = np.unique(people)
    hit, count = (np.array([values[people == one].sum() for one in ids]) for values in (hits.astype(float), np.ones(len(hits))))
    bound = 0.05 ** (1 / len(ids))
    if hit.sum() == 0:
        low, high = 0.0, 1 - bound
    elif hit.sum() == count.sum():
        low, high = bound, 1.0
    else:
        drawn = np.random.default_rng(0).integers(0, len(ids), (2000, len(ids)))
        low, high = np.quantile(hit[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return f"{hits.mean():.4f} ({low:.4f} to {high:.4f})"


def identification(x: np.ndarray, people: np.ndarray, profile: np.ndarray, number: np.ndarray) -> None:
    x = unit(x)
    enrolled = (people <= 100) & ~profile & (number <= 2)
    others, frontal = people > 150, (people > 150) & ~profile
    impostor = np.sort((x[frontal] @ x[others].T)[people[frontal][:, None] != people[others][None]])
    scores, owner = x @ x[enrolled].T, people[enrolled]
    best, name = scores.max(axis=1), owner[scores.argmax(axis=1)]
    searched, strangers = (people <= 100) & ~enrolled, (people > 100) & (people <= 150)
    counts = f"{enrolled.sum()} enrolled of {len(set(owner))} people; {searched.sum()} pictures of them and {strangers.sum()} of strangers"
    print(f"{counts} searched; thresholds from {len(impostor)} pairs of {len(set(people[others].tolist()))} other people")
    for rate in RATES:
        threshold = impostor[-max(1, int(rate * len(impostor)))]
        named = best >= threshold
        right, wrong = named & (name == people), named & (name != people)
        print(f"false match rate {rate:g}, threshold {threshold:.3f}")
        for kind, chosen in (("frontal", ~profile), ("profile", profile)):
            a, b = searched & chosen, strangers & chosen
            rates = [interval(hits[some], people[some]) for hits, some in ((right, a), (wrong, a), (named, b))]
            print(f"  {kind}: right name {rates[0]}, another's name {rates[1]}; a stranger gets a name {rates[2]}")


def chains(data: Path, landmarks: Path | None):
    """Title, name of the cache, detector, alignment and landmark model of what is compared."""
    for align in ("five_points", "eyes", "crop"):
        yield "RetinaFace", "retinaface", lambda: retinaface(data), align, None
    yield "built-in detector", "builtin", lambda: "builtin", "five_points", None
    yield "built-in detector at 128 pixels", "builtin128", builtin_at_128, "five_points", None
    if landmarks is not None:
        yield "built-in detector at 128 pixels, landmark model", "builtin128_landmarks", builtin_at_128, "five_points", landmarks
        yield "RetinaFace, landmark model", "retinaface_landmarks", lambda: retinaface(data), "five_points", landmarks


def builtin_at_128():
    """Faces fill these photographs, and it was trained on smaller ones than its usual test size gives."""
    return predict.of_predictor(predict.load_predictor("builtin", overrides=["model.input.test={mode: long_side, size: [128, 128]}"]))


def main() -> None:
    data, *rest = map(Path, sys.argv[1:])
    cache = rest[0] if rest else Path(tempfile.gettempdir()) / "ppface_end_to_end"
    model = embedder(data)
    crops = sorted((data / "cfp" / "aligned112").rglob("*.jpg"))
    given = kept(cache / "aligned.npy", lambda: of_crops(model, crops))
    people, number = (np.array([int(f) for f in names]) for names in ([f.parts[-3] for f in crops], [f.stem for f in crops]))
    profile = np.array([f.parts[-2] == "profile" for f in crops])
    few = people <= 15
    photographs = [data / "cfp" / "raw" / f.relative_to(data / "cfp" / "aligned112") for f in crops if f.parts[-3] <= "015"]
    for title, name, detector, align, landmarks in chains(data, rest[1] if len(rest) > 1 else None):

        def make(detector=detector, landmarks=landmarks, align=align):
            return of_photographs(FacePipeline(detector(), model, landmarks, align), photographs)

        print(f"{title}, {align}", flush=True)
        verification(given[few], kept(cache / f"{name}_{align}.npy", make), people[few], profile[few])
    identification(given, people, profile, number)


if __name__ == "__main__":
    main()
