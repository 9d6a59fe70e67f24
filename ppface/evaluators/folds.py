"""Scores pairs of embeddings by the k-fold protocol of LFW, with counts over a grid of thresholds instead of loops."""

from dataclasses import dataclass

import numpy as np

from ppface.core.errors import DataError

GRID = np.arange(0, 4, 0.01)  # candidate thresholds of squared L2 distance for the accuracy
FINE = np.arange(0, 4, 0.001)  # thresholds for the interpolation of TAR at FAR
FARS = {"tar@1e-1": 1e-1, "tar@1e-2": 1e-2, "tar@1e-3": 1e-3, "tar@1e-4": 1e-4}
ROWS = 256  # pairs at a time, so that both slices of embeddings fit in the cache


@dataclass(frozen=True, eq=False)
class Folds:
    """Distances of pairs, and the fold of each pair.

    Args:
        distance: (N,) squared L2 distance of the normalised embeddings, 0..4.
        issame: (N,) 1 if both pictures show the same person, else 0.
        fold: (N,) 0..folds-1, non-decreasing: consecutive pairs form a fold.

    Attributes:
        size: (folds, 2) numbers of different and same pairs.
    """

    distance: np.ndarray
    issame: np.ndarray
    fold: np.ndarray
    size: np.ndarray

    def below(self, grid: np.ndarray) -> np.ndarray:
        """(folds, 2, len(grid)): numbers of different and same pairs of each fold below each threshold."""
        first = np.searchsorted(grid, self.distance, side="right")  # the first threshold that is larger
        cell = (2 * self.fold + self.issame) * (len(grid) + 1) + first
        counts = np.bincount(cell, minlength=self.size.size * (len(grid) + 1))
        return counts.reshape(len(self.size), 2, -1)[:, :, :-1].cumsum(axis=2)


def squared_distances(embeddings1: np.ndarray, embeddings2: np.ndarray) -> np.ndarray:
    """Squared L2 distance of L2-normalised rows, in float64; a zero row has no direction and stays zero.

    Shape:
        (N, D), (N, D) -> (N,) in 0..4

    Raises:
        DataError: other shapes, or numbers that are not finite.
    """
    if embeddings1.ndim != 2 or embeddings1.shape != embeddings2.shape or embeddings1.size == 0:
        received = f"{embeddings1.shape} and {embeddings2.shape}"
        raise DataError(f"embeddings1, embeddings2: expected two (N, D) arrays, a row for each pair; received shapes {received}")
    for name, array in (("embeddings1", embeddings1), ("embeddings2", embeddings2)):
        if array.dtype.kind not in "fiu":
            raise DataError(f"{name}: expected numbers, received an array of {array.dtype}")
    distance = np.empty(len(embeddings1))
    for start in range(0, len(distance), ROWS):
        rows = slice(start, start + ROWS)
        difference = _normalised(embeddings1, rows, "embeddings1")
        difference -= _normalised(embeddings2, rows, "embeddings2")
        distance[rows] = np.square(difference, out=difference).sum(axis=1)
    return distance


def _normalised(embeddings: np.ndarray, rows: slice, name: str) -> np.ndarray:
    part = np.array(embeddings[rows], dtype=np.float64)
    norm = np.sqrt(np.einsum("nd,nd->n", part, part))
    if not np.isfinite(norm).all():
        row = rows.start + int(np.argmin(np.isfinite(norm)))
        raise DataError(f"{name}: row {row} contains a number that is not finite: did the model diverge, or is the file damaged?")
    norm[norm == 0] = 1
    part /= norm[:, None]
    return part


def split(distance: np.ndarray, issame: np.ndarray, folds: int) -> Folds:
    """The pairs in folds, see `cut`.

    Raises:
        DataError: `issame` of another length, or as `cut`.
    """
    if issame.shape != distance.shape:
        raise DataError(f"issame: expected a flag for each of the {len(distance)} pairs, received shape {issame.shape}")
    return Folds(distance, issame.astype(np.int64), *cut(issame, folds))


def cut(issame: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits pairs into folds in their order; the first N % folds folds have one pair more.

    Shape:
        issame (N,) -> the fold of each pair (N,), pairs of different and of same people in each fold (folds, 2)

    Raises:
        DataError: values other than true and false, or folds that are not an integer, out of range or without pairs of both classes.
    """
    count = len(issame)
    if not np.isin(issame, (0, 1)).all():
        raise DataError(f"issame: expected only true and false, received {issame[~np.isin(issame, (0, 1))][0]!s}")
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or not 2 <= folds <= count:
        raise DataError(f"folds: expected 2 to {count}, the number of pairs, received {folds!r}")
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    fold = np.repeat(np.arange(folds), sizes)
    size = np.bincount(2 * fold + issame.astype(np.int64), minlength=2 * folds).reshape(folds, 2)
    if not size.all():
        number = int(np.argmin(size.min(axis=1)))
        only = "same" if size[number, 0] == 0 else "different"
        first = int(sizes[:number].sum()) + 1
        where = f"fold {number + 1} of {folds} (pairs {first} to {first + sizes[number] - 1})"
        raise DataError(f"{where} contains only {only} pairs; expected both classes: folds are consecutive pairs, mix their order")
    return fold, size


def accuracies(pairs: Folds) -> tuple[np.ndarray, np.ndarray]:
    """(folds,) accuracy of each fold at the (smallest) threshold that is best on the others, and (folds,) those thresholds."""
    below = pairs.below(GRID)
    correct = below[:, 1] + pairs.size[:, :1] - below[:, 0]
    best = (correct.sum(axis=0) - correct).argmax(axis=1)
    return correct[np.arange(len(correct)), best] / pairs.size.sum(axis=1), GRID[best]


def tar_at_far(pairs: Folds) -> dict[str, float]:
    """The mean over folds of the share of same pairs accepted, at thresholds interpolated from the FAR of the other folds.

    If several thresholds have the wanted FAR, the largest is used; if none reaches it, the threshold is 0. Only FARs that the number of
    different pairs can resolve are included: at least one false accept among them.
    """
    below = pairs.below(FINE)[:, 0]
    different = pairs.size[:, 0]
    far = (below.sum(axis=0) - below) / (different.sum() - different)[:, None]
    tar = {}
    for name, wanted in supported(int(different.sum())).items():
        thresholds = np.array([np.interp(wanted, increasing, FINE) if increasing[-1] >= wanted else 0.0 for increasing in far])
        accepted = (pairs.distance < thresholds[pairs.fold]) & (pairs.issame == 1)
        tar[name] = float((np.bincount(pairs.fold, weights=accepted) / pairs.size[:, 1]).mean())
    return tar


def supported(different: int) -> dict[str, float]:
    """The entries of FARS that this number of different pairs can resolve."""
    return {name: far for name, far in FARS.items() if different >= needed(far)}


def needed(far: float) -> int:
    """The number of different pairs that a FAR needs: one false accept among them."""
    return round(1 / far)


def roc(distance: np.ndarray, issame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FAR and TAR at every threshold that changes them, both increasing from 0 to 1."""
    order = np.argsort(distance, kind="stable")
    last = np.append(np.diff(distance[order]) > 0, True)  # equal distances are accepted together
    accepted = np.cumsum(np.stack([1 - issame[order], issame[order]]), axis=1)[:, last]
    rates = accepted / accepted[:, -1:]
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def auc(far: np.ndarray, tar: np.ndarray) -> float:
    """The area under a ROC curve."""
    return float((np.diff(far) * (tar[1:] + tar[:-1])).sum() / 2)


def eer(far: np.ndarray, tar: np.ndarray) -> float:
    """The rate at which false accepts and false rejects are equal, by linear interpolation of the ROC curve."""
    return float(np.interp(1.0, far + tar, far))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share among `count` trials: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953."""
    z = 1.959963984540054
    middle = share + z * z / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, float((middle - half) / scale)), min(1.0, float((middle + half) / scale))  # rounding may exceed 0..1
