"""k-fold scoring of embedding pairs, the protocol of LFW, vectorised as counts over a grid of thresholds."""

from dataclasses import dataclass

import numpy as np

from ppface.core.errors import DataError

GRID = np.arange(0, 4, 0.01)  # candidate thresholds of squared L2 distance for the accuracy
FINE = np.arange(0, 4, 0.001)  # thresholds between which TAR at FAR is interpolated
FARS = {"tar@1e-1": 1e-1, "tar@1e-2": 1e-2, "tar@1e-3": 1e-3, "tar@1e-4": 1e-4}
ROWS = 256  # pairs per slice: the slices of both embeddings fit the CPU cache


@dataclass(frozen=True, eq=False)
class Folds:
    """The distance of each pair and the fold in which it is tested.

    Args:
        distance: (N,) squared L2 distance of the normalised embeddings, 0..4.
        issame: (N,) 1 where both pictures show one person, else 0.
        fold: (N,) 0..folds-1, non-decreasing: consecutive pairs form a fold.

    Attributes:
        size: (folds, 2) numbers of pairs of different people and of the same person.
    """

    distance: np.ndarray
    issame: np.ndarray
    fold: np.ndarray
    size: np.ndarray

    def below(self, grid: np.ndarray) -> np.ndarray:
        """(folds, 2, len(grid)): number of different and same pairs of each fold below each threshold."""
        first = np.searchsorted(grid, self.distance, side="right")  # the first threshold that is larger
        cell = (2 * self.fold + self.issame) * (len(grid) + 1) + first
        counts = np.bincount(cell, minlength=self.size.size * (len(grid) + 1))
        return counts.reshape(len(self.size), 2, -1)[:, :, :-1].cumsum(axis=2)


def squared_distances(embeddings1: np.ndarray, embeddings2: np.ndarray) -> np.ndarray:
    """Squared L2 distance of L2-normalised rows, in float64; a zero row stays zero.

    Shape:
        (N, D), (N, D) -> (N,) in 0..4

    Raises:
        DataError: wrong shapes, or numbers that are not finite.
    """
    if embeddings1.ndim != 2 or embeddings1.shape != embeddings2.shape or embeddings1.size == 0:
        received = f"{embeddings1.shape} and {embeddings2.shape}"
        raise DataError(f"embeddings1, embeddings2: expected two (N, D) arrays, one row per pair; received shapes {received}")
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
        raise DataError(f"{name}: row {row} holds a number that is not finite: the model has diverged or the file is damaged")
    norm[norm == 0] = 1
    part /= norm[:, None]
    return part


def split(distance: np.ndarray, issame: np.ndarray, folds: int) -> Folds:
    """The pairs split into folds, see `cut`.

    Raises:
        DataError: `issame` of another length, or what `cut` raises.
    """
    if issame.shape != distance.shape:
        raise DataError(f"issame: expected one flag for each of the {len(distance)} pairs, received shape {issame.shape}")
    return Folds(distance, issame.astype(np.int64), *cut(issame, folds))


def cut(issame: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits pairs into folds in their order; the first N % folds folds hold one more pair.

    Shape:
        issame (N,) -> fold of each pair (N,), numbers of different and of same pairs in each fold (folds, 2)

    Raises:
        DataError: values other than 0 and 1, `folds` not an integer or out of range, or a fold without pairs of both classes.
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
        raise DataError(f"{where} holds only {only} pairs; expected both kinds in every fold: folds are consecutive pairs, shuffle them")
    return fold, size


def accuracies(pairs: Folds) -> tuple[np.ndarray, np.ndarray]:
    """(folds,) accuracy of each fold at the best threshold of the other folds (the smallest on ties), and (folds,) those thresholds."""
    below = pairs.below(GRID)
    right = below[:, 1] + pairs.size[:, :1] - below[:, 0]
    best = (right.sum(axis=0) - right).argmax(axis=1)
    return right[np.arange(len(right)), best] / pairs.size.sum(axis=1), GRID[best]


def tar_at_far(pairs: Folds) -> dict[str, float]:
    """TAR at each FAR: mean over folds, with the threshold interpolated from the FAR on the other folds.

    If several thresholds have the wanted FAR, the largest is used; if none reaches it, the threshold is 0. Only FARs that the number of
    different pairs can resolve are returned: at least one false accept among them.
    """
    below = pairs.below(FINE)[:, 0]
    different = pairs.size[:, 0]
    far = (below.sum(axis=0) - below) / (different.sum() - different)[:, None]
    tar = {}
    for name, wanted in supported(int(different.sum())).items():
        thresholds = np.array([np.interp(wanted, rising, FINE) if rising[-1] >= wanted else 0.0 for rising in far])
        accepted = (pairs.distance < thresholds[pairs.fold]) & (pairs.issame == 1)
        tar[name] = float((np.bincount(pairs.fold, weights=accepted) / pairs.size[:, 1]).mean())
    return tar


def supported(different: int) -> dict[str, float]:
    """The entries of FARS that this number of pairs of different people can resolve."""
    return {name: far for name, far in FARS.items() if different >= needed(far)}


def needed(far: float) -> int:
    """Number of pairs of different people that a FAR requires: one false accept among them."""
    return round(1 / far)


def roc(distance: np.ndarray, issame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FAR and TAR at every distinct distance as threshold, both rising from 0 to 1."""
    order = np.argsort(distance, kind="stable")
    last = np.append(np.diff(distance[order]) > 0, True)  # equal distances are accepted together
    accepted = np.cumsum(np.stack([1 - issame[order], issame[order]]), axis=1)[:, last]
    rates = accepted / accepted[:, -1:]
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def auc(far: np.ndarray, tar: np.ndarray) -> float:
    """The area under a ROC curve."""
    return float((np.diff(far) * (tar[1:] + tar[:-1])).sum() / 2)


def eer(far: np.ndarray, tar: np.ndarray) -> float:
    """Equal error rate: the rate where false accepts and false rejects are equal, on the linearly interpolated ROC curve."""
    return float(np.interp(1.0, far + tar, far))


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share among `count` trials: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953."""
    z = 1.959963984540054
    middle = share + z * z / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, float((middle - half) / scale)), min(1.0, float((middle + half) / scale))  # rounding errors may exceed 0..1
