"""Face verification, whether two pictures show the same person, on sets of labelled pairs."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading.label_files import read_all
from ppface.data.pictures.picture import Picture
from ppface.data.synthetic import is_synthetic
from ppface.evaluators import folds as scoring
from ppface.evaluators.error_reject import ErrorReject, check_fmr, error_reject
from ppface.evaluators.plots import draw_error_reject, draw_roc, draw_scores, make_folder, writing
from ppface.ops.embedding import described
from ppface.ops.resize import TestSize, aligned, check_aligned

Predict = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class Scores(dict[str, Any]):
    """What `evaluate` returns. It has no TAR at a FAR that needs more pairs than given: reading one raises a DataError."""

    def __init__(self, values: dict[str, Any], different: int):
        super().__init__(values)
        self.different = different

    def __missing__(self, name: str) -> float:
        if name not in scoring.FARS:
            raise KeyError(name)
        needed = scoring.needed(scoring.FARS[name])
        raise DataError(f"{name}: expected at least {needed:,} pairs of different people, received {self.different:,}")


Scored = tuple[scoring.Folds, Scores, ErrorReject | None]


def evaluate(
    embeddings1: np.ndarray | str | Path, embeddings2: np.ndarray | str | Path, issame: np.ndarray | list[bool], folds: int = 10
) -> Scores:
    """The k-fold protocol of LFW: Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/lfw.pdf.

    Squared L2 distance of L2-normalised embeddings; thresholds 0..4 in steps of 0.01; folds are consecutive pairs; each is tested at
    the threshold that is best on the other folds (the smallest on ties).

    Args:
        embeddings1: (N, D) of the first pictures, or their `.npy` file; any norm, finite.
        embeddings2: (N, D) of the second pictures, or their `.npy` file.
        issame: (N,) whether both pictures show the same person.
        folds: number of folds, 2..N.

    Returns:
        "accuracy" and "std": mean and standard deviation over the folds; "accuracy_ci95": (low, high), Wilson's interval of the accuracy
        over N pairs; "threshold": mean of the folds' thresholds of squared distance; "auc" and "eer": of the ROC curve over all pairs;
        "tar@1e-1" ... "tar@1e-4": mean over folds of the share of same pairs accepted, at the threshold where the other folds have that
        FAR (interpolated in steps of 0.001). With fewer than 1 / FAR pairs of different people the key is absent, and reading it raises
        a DataError.

    Raises:
        DataError: a file that is not .npy, different lengths, numbers that are not finite, `folds` not an integer or out of range, or a
            fold with pairs of one class only.
    """
    distance = scoring.squared_distances(_array(embeddings1), _array(embeddings2))
    return summary(scoring.split(distance, np.asarray(issame), folds))


def summary(pairs: scoring.Folds) -> Scores:
    """The values that `evaluate` returns, computed from distances."""
    accuracy, thresholds = scoring.accuracies(pairs)
    far, tar = scoring.roc(pairs.distance, pairs.issame)
    mean = float(accuracy.mean())
    values = {
        "accuracy": mean,
        "std": float(accuracy.std()),
        "accuracy_ci95": scoring.wilson(mean, len(pairs.distance)),
        "threshold": float(thresholds.mean()),
        "auc": scoring.auc(far, tar),
        "eer": scoring.eer(far, tar),
        **scoring.tar_at_far(pairs),
    }
    return Scores(values, int(pairs.size[:, 0].sum()))


def _array(embeddings: np.ndarray | str | Path) -> np.ndarray:
    if not isinstance(embeddings, str | Path):
        return np.asarray(embeddings)
    try:
        with Path(embeddings).open("rb") as file:
            if file.read(2) == b"PK":
                raise DataError(f"{embeddings}: expected a .npy file, received a .npz archive: save one of its arrays as .npy")
        return np.load(embeddings, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{embeddings}: expected a .npy file of embeddings ({error})") from None


@register("evaluator")
class Verification:
    """Verification by the k-fold protocol of LFW, Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/lfw.pdf, on one or more sets.

    See `evaluate` for the values. Each distinct picture is embedded once (twice with `flip`).

    Args:
        sets: name -> pairs; the values are named `name/accuracy`, ...
        flip: embedding = e(picture) + e(mirrored picture), as in published results.
        resize: stretch pictures of another size to the model's size; otherwise they are an error, unless the model's test mode is
            "letterbox".
        save_dir: folder for `verification.json`, `roc.png` and a `<set>_scores.png` each; none writes nothing.
        batch_size: pictures per call of `predict`, > 0.
        reject_fmr: a false match rate, for which error-versus-reject curves are written to `save_dir`: `reject.png`, and "reject" of each
            set in `verification.json`; quality is that of the model, or the norm of its embeddings. See `error_reject.error_reject`.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}, L2-normalised or not;
        the evaluator yields ("lfw/accuracy", 0..1), then std, threshold, auc, eer, tar@1e-1 ..., accuracy_ci95_low and _high of each set

    Raises:
        DataError: more folds than pairs, or a fold with pairs of one class only; when called, broken pictures or ones of another size, or
            `save_dir` cannot be written; a `reject_fmr` that a set's pairs cannot show.
        ValueError: no set, a name that cannot be a file name, batch_size under 1, or reject_fmr without save_dir.
    """

    def __init__(
        self,
        sets: dict[str, Annotated[Any, Kind("pairs")]],
        flip: bool = True,
        resize: bool = False,
        save_dir: str | None = None,
        batch_size: int = 64,
        reject_fmr: float | None = None,
    ):
        invalid = [name for name in sets if not re.fullmatch(r"[\w.+-]+", name)]
        if not sets or invalid:
            raise ValueError(f"Verification: expected at least one set, names of letters, digits and . + - _; received {invalid or 'none'}")
        if batch_size < 1:
            raise ValueError(f"Verification: expected batch_size of at least 1, received {batch_size}")
        if reject_fmr is not None and save_dir is None:
            raise ValueError("Verification: expected save_dir, the folder for error-versus-reject curves, with reject_fmr, received none")
        for name, pairs in sets.items():  # checked here: an evaluation may take hours, and run only after training
            with _prefixed(name):
                scoring.cut(pairs.issame, pairs.folds)
                if reject_fmr is not None:
                    check_fmr(reject_fmr, int(np.count_nonzero(np.asarray(pairs.issame) == 0)))
        self.sets, self.flip, self.resize, self.save_dir, self.batch_size = sets, flip, resize, save_dir, batch_size
        self.reject_fmr = reject_fmr

    def values(self) -> list[str]:
        """The names of the values that it yields."""
        found = []
        for name, pairs in self.sets.items():
            tars = scoring.supported(int(np.count_nonzero(np.asarray(pairs.issame) == 0)))
            keys = ("accuracy", "std", "accuracy_ci95_low", "accuracy_ci95_high", "threshold", "auc", "eer", *tars)
            found += [f"{name}/{key}" for key in keys]
        return found

    def check(self, predict: Predict) -> None:
        """Opens the header of every picture, of synthetic ones only the first; raises a DataError that lists all that cannot be used."""
        if self.save_dir:
            make_folder(self.save_dir)
        policy = getattr(predict, "test_size", None) or TestSize()
        for name, pairs in self.sets.items():

            def look(index: int, pairs: Any = pairs) -> tuple[int, int]:
                picture, size = pairs.header(index) if hasattr(pairs, "header") else _header(pairs.picture(index))
                check_aligned(size, policy.of(*size), picture, self.resize or policy.letterbox)
                return policy.of(*size)

            with _prefixed(name):
                sizes = read_all(look, 1 if is_synthetic(pairs) else len(pairs))
            described(predict, [np.zeros((*sizes[0], 3), np.uint8)])

    def __call__(self, predict: Predict) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        found = {name: self._score(predict, pairs, name) for name, pairs in self.sets.items()}
        if folder:
            with writing(folder):
                _write(found, folder)
        for name, (_, scores, _) in found.items():
            for key, value in scores.items():
                parts = {"_low": value[0], "_high": value[1]} if isinstance(value, tuple) else {"": value}
                yield from ((f"{name}/{key}{suffix}", number) for suffix, number in parts.items())

    def _score(self, predict: Predict, pairs: Any, name: str) -> Scored:
        found = self._described(predict, pairs)
        embeddings, curve = found["embedding"], None
        with _prefixed(name):
            distance = scoring.squared_distances(embeddings[pairs.first], embeddings[pairs.second])
            cut = scoring.split(distance, pairs.issame, pairs.folds)
            if self.reject_fmr is not None:
                quality = found.get("quality", found["norm"])
                curve = error_reject(distance, pairs.issame, quality[pairs.first], quality[pairs.second], self.reject_fmr)
        return cut, summary(cut), curve

    def _described(self, predict: Predict, pairs: Any) -> dict[str, np.ndarray]:
        policy = getattr(predict, "test_size", None) or TestSize()
        found = []
        for start in range(0, len(pairs), self.batch_size):
            pictures = [pairs.picture(i) for i in range(start, min(start + self.batch_size, len(pairs)))]
            size = policy.of(*pictures[0].size)
            images = [aligned(picture.decode(), size, picture.name, self.resize, policy.letterbox) for picture in pictures]
            found.append(described(predict, images, self.flip))
        return {name: np.concatenate([batch[name] for batch in found]) for name in ("embedding", "norm", "quality") if name in found[0]}


def _header(picture: Picture) -> tuple[str, tuple[int, int]]:
    return picture.name, picture.size


@contextmanager
def _prefixed(name: str) -> Iterator[None]:
    """Prefixes DataErrors with the name of the set."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _write(found: dict[str, Scored], folder: Path) -> None:
    """Writes the values, one plot of all ROC curves, one of the error-versus-reject curves, and a histogram of the scores of each set."""
    numbers, curves, rejects = {}, {}, {}
    for name, (pairs, scores, reject) in found.items():
        each, thresholds = scoring.accuracies(pairs)
        counts = {"pairs": len(pairs.distance), "same": int(pairs.issame.sum())}
        numbers[name] = {**scores, **counts, "fold_accuracy": each.tolist(), "fold_threshold": thresholds.tolist()}
        if reject is not None:
            rejects[name] = reject
            numbers[name]["reject"] = {**vars(reject), "rejected": reject.rejected.tolist(), "fnmr": reject.fnmr.tolist()}
        curves[name] = scoring.roc(pairs.distance, pairs.issame)
        similarity = 1 - pairs.distance / 2
        title = f"{name}: accuracy {scores['accuracy']:.4f} ± {scores['std']:.4f}"
        draw_scores(similarity, pairs.issame == 1, 1 - scores["threshold"] / 2, folder / f"{name}_scores.png", title)
    labels = {f"{name}  AUC {found[name][1]['auc']:.5f}": curve for name, curve in curves.items()}
    draw_roc(labels, folder / "roc.png")
    if rejects:
        draw_error_reject(rejects, folder / "reject.png")
    (folder / "verification.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
