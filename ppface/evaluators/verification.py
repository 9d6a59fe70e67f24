"""Face verification on sets of labelled pairs: do two pictures show the same person?"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.evaluators import folds as scoring
from ppface.evaluators.plots import draw_roc, draw_scores, make_folder
from ppface.ops.embedding import embed
from ppface.ops.resize import TestSize, aligned

Predict = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class Scores(dict[str, Any]):
    """The result of `evaluate`. Access to a TAR at a FAR for which there are too few pairs raises a DataError."""

    def __init__(self, values: dict[str, Any], different: int):
        super().__init__(values)
        self.different = different

    def __missing__(self, name: str) -> float:
        if name not in scoring.FARS:
            raise KeyError(name)
        needed = scoring.needed(scoring.FARS[name])
        raise DataError(f"{name}: expected at least {needed:,} pairs of different people, received {self.different:,}")


def evaluate(
    embeddings1: np.ndarray | str | Path, embeddings2: np.ndarray | str | Path, issame: np.ndarray | list[bool], folds: int = 10
) -> Scores:
    """The k-fold protocol of LFW: Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/lfw.pdf.

    Squared L2 distance of L2-normalised embeddings; thresholds 0..4 in steps of 0.01; folds are consecutive pairs; each is tested at the
    threshold that is best on the others (the smallest of several).

    Args:
        embeddings1: (N, D) of the first pictures, or the `.npy` file that contains them; any norm, finite.
        embeddings2: (N, D) of the second pictures, or their `.npy` file.
        issame: (N,) whether both pictures show the same person.
        folds: number of folds, 2..N.

    Returns:
        "accuracy" and "std": mean and standard deviation over the folds; "accuracy_ci95": (low, high), Wilson's interval of the accuracy
        among N pairs; "threshold": mean of the folds' thresholds of squared distance; "auc" and "eer": of the ROC curve over all pairs;
        "tar@1e-1" ... "tar@1e-4": mean over folds of the share of same pairs accepted, at the threshold that the other folds give that
        FAR (interpolated in steps of 0.001), if there are at least 1 / FAR pairs of different people; otherwise the key is absent,
        and access to it raises a DataError.

    Raises:
        DataError: a file that is not .npy, lengths that differ, numbers that are not finite, folds that are not an integer or out of
            range, or a fold with pairs of only one class.
    """
    distance = scoring.squared_distances(_array(embeddings1), _array(embeddings2))
    return summary(scoring.split(distance, np.asarray(issame), folds))


def summary(pairs: scoring.Folds) -> Scores:
    """The numbers of `evaluate` from distances."""
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
                raise DataError(f"{embeddings}: expected a .npy file of embeddings, received a .npz archive: use one of its arrays")
        return np.load(embeddings, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{embeddings}: expected a .npy file of embeddings ({error})") from None


@register("evaluator")
class Verification:
    """Verification by the k-fold protocol of LFW, Huang et al. 2007, http://vis-www.cs.umass.edu/lfw/lfw.pdf, on one or more sets.

    See `evaluate` for the numbers. Each distinct picture is embedded once (twice with its mirror image).

    Args:
        sets: name -> pairs; results are named `name/accuracy`, ...
        flip: embedding = e(picture) + e(mirrored picture), as for published numbers.
        resize: stretch pictures to the model's size; otherwise another size is an error.
        save_dir: folder for `verification.json`, `roc.png` and one `<set>_scores.png` per set; None: no files.
        batch_size: pictures per call of `predict`, > 0.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}, before L2 normalisation or after;
        the evaluator yields ("lfw/accuracy", 0..1), then std, threshold, auc, eer, tar@1e-1 ..., accuracy_ci95_low and _high of each set

    Raises:
        DataError: more folds than pairs, or a fold with only one class; later broken pictures or ones of another size, or `save_dir`
            cannot be written.
        ValueError: no set, a name that is not valid in a file name, or batch_size under 1.
    """

    def __init__(
        self,
        sets: dict[str, Annotated[Any, Kind("pairs")]],
        flip: bool = True,
        resize: bool = False,
        save_dir: str | None = None,
        batch_size: int = 64,
    ):
        invalid = [name for name in sets if not re.fullmatch(r"[\w.+-]+", name)]
        if not sets or invalid:
            raise ValueError(f"Verification: expected at least one set, named by letters, digits and . + - _; received {invalid or 'none'}")
        if batch_size < 1:
            raise ValueError(f"Verification: expected batch_size of at least 1, received {batch_size}")
        for name, pairs in sets.items():  # fail early: an evaluation may take hours, or follow a training
            with _prefix_errors(name):
                scoring.cut(pairs.issame, pairs.folds)
        self.sets, self.flip, self.resize, self.save_dir, self.batch_size = sets, flip, resize, save_dir, batch_size

    def __call__(self, predict: Predict) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        found = {name: self._evaluate(predict, pairs, name) for name, pairs in self.sets.items()}
        if folder:
            _write(found, folder)
        for name, (_, scores) in found.items():
            for key, value in scores.items():
                bounds = {"_low": value[0], "_high": value[1]} if isinstance(value, tuple) else {"": value}
                yield from ((f"{name}/{key}{which}", bound) for which, bound in bounds.items())

    def _evaluate(self, predict: Predict, pairs: Any, name: str) -> tuple[scoring.Folds, Scores]:
        embeddings = self._embeddings(predict, pairs)
        with _prefix_errors(name):
            distance = scoring.squared_distances(embeddings[pairs.first], embeddings[pairs.second])
        cut = scoring.split(distance, pairs.issame, pairs.folds)
        return cut, summary(cut)

    def _embeddings(self, predict: Predict, pairs: Any) -> np.ndarray:
        policy = getattr(predict, "test_size", None) or TestSize()
        found = []
        for start in range(0, len(pairs), self.batch_size):
            pictures = [pairs.picture(i) for i in range(start, min(start + self.batch_size, len(pairs)))]
            size = policy.of(*pictures[0].size)
            images = [aligned(picture.decode(), size, picture.name, self.resize) for picture in pictures]
            found.append(embed(predict, images, self.flip))
        return np.concatenate(found)


@contextmanager
def _prefix_errors(name: str) -> Iterator[None]:
    """Prefixes errors with the name of a set."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _write(found: dict[str, tuple[scoring.Folds, Scores]], folder: Path) -> None:
    """Writes the numbers, the ROC curves in one plot, and a plot of the scores of each set."""
    numbers, curves = {}, {}
    for name, (pairs, scores) in found.items():
        each, thresholds = scoring.accuracies(pairs)
        counts = {"pairs": len(pairs.distance), "same": int(pairs.issame.sum())}
        numbers[name] = {**scores, **counts, "fold_accuracy": each.tolist(), "fold_threshold": thresholds.tolist()}
        curves[name] = scoring.roc(pairs.distance, pairs.issame)
        similarity = 1 - pairs.distance / 2
        title = f"{name}: accuracy {scores['accuracy']:.4f} ± {scores['std']:.4f}"
        draw_scores(similarity, pairs.issame == 1, 1 - scores["threshold"] / 2, folder / f"{name}_scores.png", title)
    labels = {f"{name}  AUC {found[name][1]['auc']:.5f}": curve for name, curve in curves.items()}
    draw_roc(labels, folder / "roc.png")
    (folder / "verification.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
