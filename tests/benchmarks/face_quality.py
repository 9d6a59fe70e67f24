"""What size, blur, yaw and the length of the embedding cost a public MobileFaceNet: the reason for the limits in ppface/predict/face_quality.py.

    python tests/benchmarks/face_quality.py DATA [CACHE]

DATA, CACHE: as of tests/benchmarks/end_to_end.py, with lfw/ and landmark68/ too. Size and blur: 500 pairs of LFW of one person, the second picture made smaller
(and enlarged again) or blurred by a Gaussian; pairs of different people among them set the threshold at a false match rate of .001 with the second
pictures as they are. The size is that of the crop; the line about boxes says how large RetinaFace's are beside it. Yaw, pitch and length: each
picture of CFP against the frontal ones of its person, the threshold likewise from pairs of frontal pictures.
"""

import csv
import itertools
import runpy
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ppface.data.pictures.picture import Picture  # noqa: E402
from ppface.ops import align  # noqa: E402
from ppface.ops.embedding import embed  # noqa: E402
from ppface.ops.head_pose import five_point_pose  # noqa: E402
from ppface.predict.face_quality import sharpness  # noqa: E402

end_to_end = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "end_to_end.py"))
unit = end_to_end["unit"]
RATE, PAIRS = 1e-3, 500


def degraded(data: Path, model) -> None:
    lines = [line.split() for line in (data / "lfw" / "pairs.txt").read_text().splitlines()[1:]]
    same = [words for words in lines if len(words) == 3]
    same = [same[i] for i in np.random.default_rng(0).choice(len(same), PAIRS, replace=False)]

    def read(name: str, number: str) -> np.ndarray:
        return Picture.open(data / "lfw" / "images" / name / f"{name}_{int(number):04d}.jpg").decode()

    def embedded(pictures: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([embed(model.predict, pictures[i : i + 64]) for i in range(0, len(pictures), 64)])

    one, two = ([read(words[0], words[k]) for words in same] for k in (1, 2))
    first, names = unit(embedded(one)), np.array([words[0] for words in same])
    different = names[:, None] != names[None]
    ways = {"as it is": two}
    for side in (56, 40, 32, 24, 20, 16):
        small = [cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in two]
        ways[f"{side} pixels"] = [cv2.resize(picture, (112, 112), interpolation=cv2.INTER_LINEAR) for picture in small]
    for sigma in (1, 1.5, 2, 3, 4):
        ways[f"blur {sigma}"] = [cv2.GaussianBlur(picture, (0, 0), sigma) for picture in two]
    threshold = None
    for way, pictures in ways.items():
        second = embedded(pictures)
        scores, length = first @ unit(second).T, np.linalg.norm(second, axis=1)
        threshold = np.quantile(scores[different], 1 - RATE) if threshold is None else threshold
        sharp = np.quantile([sharpness(picture) for picture in pictures], [0.05, 0.5])
        rates = f"{(np.diag(scores) >= threshold).mean():.3f} matched, false {(scores[different] >= threshold).mean():.5f}"
        print(
            f"{way}: {rates}; sharpness median {sharp[1]:.1f}, 5 % below {sharp[0]:.1f}; length median {np.median(length):.2f}", flush=True
        )


def boxes(data: Path) -> None:
    find, ratios = end_to_end["retinaface"](data), []
    for file in sorted((data / "cfp" / "raw").glob("*/frontal/0[1-3].jpg")):
        face = find(file)[0]
        scale = np.sqrt(np.linalg.det(align.similarity(align.five(face.landmarks))[:, :2]))
        ratios.append(min(face.box[2] - face.box[0], face.box[3] - face.box[1]) * scale / 112)
    print(
        "shorter side of RetinaFace's box by that of the crop, quartiles: {:.2f} {:.2f} {:.2f}".format(
            *np.quantile(ratios, [0.25, 0.5, 0.75])
        )
    )


def in_bins(title: str, values: np.ndarray, edges: np.ndarray, rate: np.ndarray) -> None:
    for low, high in itertools.pairwise(edges):
        chosen = (values >= low) & (values < high) & np.isfinite(rate)
        if chosen.sum() >= 20:
            print(f"{title} {low:.4g} to {high:.4g}: {chosen.sum()} pictures, {rate[chosen].mean():.3f} matched")


def of_cfp(data: Path, embeddings: np.ndarray) -> None:
    files = sorted((data / "cfp" / "aligned112").rglob("*.jpg"))
    rows = {row[0]: row for row in csv.reader((data / "cfp" / "aligned112_detections.csv").open())}
    points = [np.array(rows["/".join(file.parts[-3:])][3:], float).reshape(5, 2) for file in files]
    pitch, yaw, _ = np.abs(np.degrees([five_point_pose(five) for five in points])).T
    people, frontal = np.array([file.parts[-3] for file in files]), np.array([file.parts[-2] == "frontal" for file in files])
    x, length = unit(embeddings), np.linalg.norm(embeddings, axis=1)
    some = np.random.default_rng(0).choice(np.flatnonzero(frontal), 1500, replace=False)
    threshold = np.quantile((x[some] @ x[some].T)[people[some][:, None] != people[some][None]], 1 - RATE)
    rate = np.full(len(x), np.nan)
    for i in range(len(x)):
        others = np.flatnonzero((people == people[i]) & frontal & (yaw < 10) & (np.arange(len(x)) != i))
        if len(others):
            rate[i] = (x[others] @ x[i] >= threshold).mean()
    in_bins("yaw", yaw, np.array([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 90]), rate)
    in_bins("pitch of frontal ones", pitch[frontal], np.arange(0, 45, 5), rate[frontal])
    in_bins(
        "length of frontal ones", length[frontal], np.quantile(length[frontal], [0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1]), rate[frontal]
    )


def of_videos(data: Path, model) -> None:
    """The reason for the cosines of FaceTracker: frames of YouTube Faces, those of one person from any of his or her videos."""
    rows = [line.split() for name in ("train.txt", "test.txt") for line in (data / "landmark68" / name).read_text().splitlines()]
    crops = [
        align.align(Picture.open(data / "landmark68" / "images" / name).decode(), np.array(xy, float).reshape(68, 2)) for name, *xy in rows
    ]
    x = unit(np.concatenate([embed(model.predict, crops[i : i + 64]) for i in range(0, len(crops), 64)]))
    people = np.array([name.rpartition("_")[0] for name, *_ in rows])
    pairs = np.triu_indices(len(people), 1)
    scores, same = (x @ x.T)[pairs], (people[:, None] == people[None])[pairs]
    for cosine in (0.1, 0.5):
        print(f"cosine {cosine}: {(scores[same] < cosine).mean():.4f} of {same.sum()} pairs of one person below, ", end="")
        print(f"{(scores[~same] >= cosine).mean():.5f} of the others from there on, {len(set(people))} people")


def main() -> None:
    data = Path(sys.argv[1])
    cache = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.gettempdir()) / "ppface_end_to_end"
    model = end_to_end["embedder"](data)
    files = sorted((data / "cfp" / "aligned112").rglob("*.jpg"))
    of_cfp(data, end_to_end["kept"](cache / "aligned.npy", lambda: end_to_end["of_crops"](model, files)))
    boxes(data)
    of_videos(data, model)
    degraded(data, model)


if __name__ == "__main__":
    main()
