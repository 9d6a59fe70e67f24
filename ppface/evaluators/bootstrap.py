"""Confidence intervals of AP by resampling pictures."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ppface.evaluators.ap import MISS, THRESHOLDS, average_precision, first_of_each, match

LEVEL = (2.5, 97.5)  # percentiles
LEAST = 100  # resamples: fewer say little about these percentiles


def check_resamples(owner: str, resamples: int) -> None:
    """Raises ValueError for a number of resamples that gives no interval; 0 asks for none."""
    if resamples and resamples < LEAST:
        raise ValueError(f"{owner}: expected bootstrap to be 0 (no interval) or at least {LEAST} resamples, received {resamples}")


def intervals(
    predictions: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    counted: Mapping[str, np.ndarray],
    resamples: int,
    faceless: bool = False,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of the AP of every subset by the percentile bootstrap, Efron and Tibshirani 1993,
    https://doi.org/10.1201/9780429246593, chapter 13: AP of as many pictures, drawn from the set with replacement, again and again.

    A resample's AP is exactly that of `ap.curves` for its pictures, its own scaling of scores to 0..1 included. Resamples without a face
    that counts have no AP and are left out.

    Args:
        predictions, faces, counted, faceless: as of `ap.curves`.
        resamples: number of them, >= LEAST.
        seed: of the draws.
    """
    face = match(predictions, faces, faceless)
    scores = np.concatenate([*(array[:, 4] for array in predictions), np.zeros(0)])
    first = first_of_each(face, scores, sum(map(len, faces)))
    picture = np.repeat(np.arange(len(faces)), [len(array) for array in predictions])
    order = np.argsort(-scores, kind="stable")
    face, first, scores, picture = face[order], first[order], scores[order], picture[order]
    misses = _Events(np.flatnonzero(face == MISS), picture)
    subsets = []  # of each: the pictures of its faces, predictions on its faces, and those that are hits
    for mask in counted.values():
        on_face = np.append(mask, [False, False])[face]
        of_face = np.repeat(np.arange(len(faces)), [len(array) for array in faces])[mask]
        subsets.append((of_face, _Events(np.flatnonzero(on_face), picture), _Events(np.flatnonzero(on_face & first), picture)))
    rng = np.random.default_rng(seed)
    found: list[list[float]] = [[] for _ in subsets]
    scale = _Scale(scores, picture, len(faces))
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, len(faces), len(faces)), minlength=len(faces)).astype("int32")
        ends = scale.ends(times > 0)
        missed = misses.running(times, ends)
        for aps, (of_face, on_face, hit) in zip(found, subsets, strict=True):
            number = int(times[of_face].sum())
            if number:
                hits = hit.running(times, ends)
                aps.append(average_precision(hits / number, hits / np.maximum(missed + on_face.running(times, ends), 1)))
    return {name: _interval(aps) for name, aps in zip(counted, found, strict=True)}


class _Events:
    """Some of the predictions, by falling score.

    Args:
        places: (E,) which, rising.
        picture: (P,) that of every prediction.
    """

    def __init__(self, places: np.ndarray, picture: np.ndarray):
        self.places, self.picture = places, picture[places]

    def running(self, times: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(1000,) how many of them are before each end, where each counts as often as its picture is drawn."""
        return np.append(0, np.cumsum(times[self.picture], dtype="int32"))[np.searchsorted(self.places, ends)]


class _Scale:
    """The scaling of scores to 0..1 by the predictions of the drawn pictures.

    Args:
        scores: (P,) falling.
        picture: (P,) that of every prediction.
        pictures: number of pictures.
    """

    def __init__(self, scores: np.ndarray, picture: np.ndarray, pictures: int):
        self.scores, places = scores, np.arange(len(scores))
        self.first, self.last = np.full(pictures, len(scores)), np.full(pictures, -1)
        np.minimum.at(self.first, picture, places)
        np.maximum.at(self.last, picture, places)
        self.known: dict[tuple[float, float], np.ndarray] = {}  # few pictures have the highest or the lowest score

    def ends(self, drawn: np.ndarray) -> np.ndarray:
        """(1000,) how many predictions have a score of at least each of THRESHOLDS; those of pictures that are not drawn do not matter."""
        first, last = int(self.first[drawn].min()), int(self.last[drawn].max())
        if last < first:
            return np.zeros(len(THRESHOLDS), "int64")
        high, low = float(self.scores[first]), float(self.scores[last])
        if (high, low) not in self.known:
            scaled = (self.scores - low) / (high - low) if high > low else np.ones_like(self.scores)  # as ap.stretch
            self.known[high, low] = np.searchsorted(-scaled, -THRESHOLDS, side="right")
        return self.known[high, low]


def named(intervals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Intervals as values with names: "ap_ci95_low", "ap_ci95_high"."""
    return dict(zip(interval_names(intervals), (end for both in intervals.values() for end in both), strict=True))


def interval_names(values: Iterable[str]) -> list[str]:
    """The names of the ends of the intervals of `values`, in their order."""
    return [f"{name}_ci95_{end}" for name in values for end in ("low", "high")]


def _interval(aps: list[float]) -> tuple[float, float]:
    low, high = np.percentile(aps, LEVEL).tolist() if aps else (np.nan, np.nan)
    return low, high
