"""Templates: several images of a person as one vector, verified (1:1) and identified (1:N) by the protocols of IJB-B and IJB-C."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from ppface.core.errors import DataError
from ppface.core.run.log import log
from ppface.evaluators.folds import auc
from ppface.evaluators.roc import Rule, at_far, rate_name, roc
from ppface.evaluators.template_ids import rows_of, warn_of_strangers, whole

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FPIRS = (0.01, 0.1)
IMAGES = 8192  # rows of a slice of images; a template with more is a slice of its own
ROWS = 256  # templates of a block of scores
GATHER_COST = 16  # a score from gathered rows takes as long as so many scores of a matrix product
RANKS = (1, 5, 10)
Protocol = tuple[np.ndarray, np.ndarray]  # template ids, subjects


def verify(
    embedding: np.ndarray,
    flipped: np.ndarray | None,
    template: np.ndarray,
    media: np.ndarray,
    pairs: np.ndarray,
    same: np.ndarray,
    detector_score: np.ndarray | None = None,
    norm: bool = True,
    detector: bool = False,
    flip: bool = True,
    rule: Rule = "nearest",
    fars: Sequence[float] = FARS,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """1:1 verification of templates, the protocol of IJB-B and IJB-C: Maze et al. 2018, https://doi.org/10.1109/ICB2018.2018.00033, as in
    eval_ijbc.py of https://github.com/deepinsight/insightface; arguments of the templates as `fuse`.

    Args:
        pairs: (P, 2) ids of templates.
        same: (P,) whether both templates show one person.
        rule: the point of the ROC curve for a FAR: "nearest" is the usual one, with the smallest |FPR - FAR|, which may exceed the FAR;
            "strict" is the last one with FPR <= FAR.
        fars: false accept rates, each above 0 and below 1.

    Returns:
        "tpr@1e-6" ... for each of `fars`; "auc" of the ROC curve; "templates": (T, D) float64 unit vectors in the order of sorted ids

    Raises:
        DataError: arrays that do not fit together, numbers that are not finite, a pair of an unknown template, or pairs of one kind alone.
    """
    ids, vectors = fuse(embedding, flipped, template, media, detector_score, norm, detector, flip, weights)
    return {**compare(ids, vectors, pairs, same, {"tpr": rule}, fars), "templates": vectors}


def compare(
    ids: np.ndarray, vectors: np.ndarray, pairs: np.ndarray, same: np.ndarray, rules: Mapping[str, Rule], fars: Sequence[float] = FARS
) -> dict[str, float]:
    """The values of `verify` from the templates of `fuse`, by one or more rules: with {"tpr": "nearest"} they are named "tpr@1e-6" ..."""
    for rule in rules.values():
        if rule not in get_args(Rule):
            raise DataError(f"rule: expected {' or '.join(get_args(Rule))}, received {rule!r}")
    _check_rates(fars, "fars")
    pairs, same = whole(pairs, "pairs"), np.asarray(same).astype(bool)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or same.shape != (len(pairs),):
        raise DataError(f"pairs, same: expected (P, 2) template ids and (P,), received {pairs.shape} and {same.shape}")
    if not same.any() or same.all():
        raise DataError(f"same: expected pairs of one person and of two, received {int(same.sum())} and {int((~same).sum())}")
    scores = pair_scores(vectors, np.stack([rows_of(ids, pairs[:, 0], "pairs"), rows_of(ids, pairs[:, 1], "pairs")], axis=1))
    found: dict[str, float] = {}
    for name, rule in rules.items():
        fpr, tpr = roc(scores, same, drop=rule == "nearest")
        found |= {f"{name}@{rate_name(far)}": at_far(fpr, tpr, far, rule) for far in fars}
    impostors = int((~same).sum())
    if small := [rate_name(far) for far in fars if impostors * far < 1]:
        log.warning("%d pairs of different people cannot show a FAR of %s: read these values with care", impostors, ", ".join(small))
    return {**found, "auc": auc(fpr, tpr)}


def fuse(
    embedding: np.ndarray,
    flipped: np.ndarray | None,
    template: np.ndarray,
    media: np.ndarray,
    detector_score: np.ndarray | None = None,
    norm: bool = True,
    detector: bool = False,
    flip: bool = True,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One unit vector per template. An image's vector is its embedding, plus that of the mirrored image with `flip`, divided by its length
    without `norm`, times the detector's score with `detector`; then

        media = mean of its images' vectors,   template = sum of its media / length

    With `weights`, template = sum of w x / sum of w over all its images instead: with `norm` false and the embeddings' lengths as weights,
    this is AdaFace's norm_weighted_avg, https://github.com/mk-minchul/AdaFace; with 1 / variance, it is the fusion of PFE, Shi and Jain
    2019, https://arxiv.org/abs/1904.09658, equation 6.

    Args:
        embedding: (images, D) of any length.
        flipped: (images, D) of the mirrored images; may be None without `flip`.
        template: (images,) whole numbers, the ids.
        media: (images,) whole numbers: frames of one video have the same.
        detector_score: (images,), needed with `detector`.
        weights: (images,) or (images, D), >= 0.

    Returns:
        (T,) sorted ids, (T, D) float64 unit vectors; a vector of length 0 stays 0

    Raises:
        DataError: arrays of different lengths, or numbers that are not finite.
    """
    embedding, template, media = np.asarray(embedding), whole(template, "template"), whole(media, "media")
    _check_images(embedding, flipped if flip else None, template, media, detector_score if detector else None, weights)
    if flip and flipped is None:
        raise DataError("flipped: expected the embeddings of the mirrored images with flip, received None")
    if detector and detector_score is None:
        raise DataError("detector_score: expected a score for each image with detector, received None")
    order = np.lexsort((media, template))
    starts = np.flatnonzero(np.r_[True, np.diff(template[order]) != 0])
    vectors = np.empty((len(starts), embedding.shape[1]))
    for low, high in _slices(starts, len(order)):
        rows = order[starts[low] : starts[high] if high < len(starts) else len(order)]
        x = embedding[rows].astype(np.float64)
        if flip:
            x += np.asarray(flipped)[rows]
        if not norm:
            x = _unit(x)
        if detector:
            x *= np.asarray(detector_score)[rows, None]
        first = starts[low:high] - starts[low]
        vectors[low:high] = _pooled(x, media[rows], first) if weights is None else _weighted(x, np.asarray(weights)[rows], first)
    if not np.isfinite(vectors).all():
        bad = template[order][starts][~np.isfinite(vectors).all(axis=1)]
        raise DataError(f"embedding: template {bad[0]} has numbers that are not finite: the model has diverged or the file is damaged")
    return template[order][starts], _unit(vectors)


def _check_images(embedding: np.ndarray, flipped: Any, template: np.ndarray, media: np.ndarray, score: Any, weights: Any) -> None:
    if embedding.ndim != 2 or embedding.size == 0:
        raise DataError(f"embedding: expected (images, D), received {embedding.shape}")
    if flipped is not None and np.shape(flipped) != embedding.shape:
        raise DataError(f"flipped: expected the shape of embedding {embedding.shape}, received {np.shape(flipped)}")
    for name, array in (("template", template), ("media", media), ("detector_score", score)):
        if array is not None and np.shape(array) != (len(embedding),):
            raise DataError(f"{name}: expected one number for each of {len(embedding)} images, received {np.shape(array)}")
    if weights is not None and np.shape(weights) not in ((len(embedding),), embedding.shape):
        raise DataError(f"weights: expected ({len(embedding)},) or {embedding.shape}, received {np.shape(weights)}")


def _slices(starts: np.ndarray, images: int) -> Iterator[tuple[int, int]]:
    """(first, after the last) template of every slice of about IMAGES images."""
    low, ends = 0, np.r_[starts[1:], images]
    while low < len(starts):
        high = max(low + 1, int(np.searchsorted(ends, starts[low] + IMAGES, side="right")))
        yield low, high
        low = high


def _pooled(x: np.ndarray, media: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Means over the media, then sums over each template, whose first row is in `first`; rows are sorted by template, then media."""
    new = np.r_[True, np.diff(media) != 0]
    new[first] = True
    starts = np.flatnonzero(new)
    means = np.add.reduceat(x, starts) / np.diff(np.r_[starts, len(x)])[:, None]
    return np.add.reduceat(means, np.searchsorted(starts, first))


def _weighted(x: np.ndarray, weights: np.ndarray, first: np.ndarray) -> np.ndarray:
    weights = weights.astype(np.float64).reshape(len(x), -1)
    total = np.add.reduceat(weights, first)
    return np.add.reduceat(x * weights, first) / np.where(total == 0, 1, total)


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    return x / np.where(length == 0, 1, length)


def pair_scores(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The cosines of pairs: blocks of a matrix product where the pairs are dense, gathered rows where they are not.

    Shape:
        vectors (T, D) unit, rows (P, 2) -> (P,) float64
    """
    order = np.argsort(rows[:, 0])
    first, second = rows[order, 0], rows[order, 1]
    starts = np.flatnonzero(np.r_[True, np.diff(first) != 0])
    scores, stops = np.empty(len(rows)), np.r_[starts[1:], len(rows)]
    for low in range(0, len(starts), ROWS):
        span = slice(starts[low], stops[min(low + ROWS, len(starts)) - 1])
        own = first[starts[low : low + ROWS]]
        others, column = np.unique(second[span], return_inverse=True)
        if len(own) * len(others) <= GATHER_COST * len(column):
            block = vectors[own] @ vectors[others].T
            found = block[np.searchsorted(own, first[span]), column]
        else:
            parts = range(0, len(column), IMAGES)
            found = np.concatenate([_dots(vectors, first[span][i : i + IMAGES], second[span][i : i + IMAGES]) for i in parts])
        scores[order[span]] = found
    return scores


def _dots(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", vectors[first], vectors[second])


def identify(
    vectors: np.ndarray,
    ids: np.ndarray,
    galleries: Sequence[Protocol],
    probes: Protocol,
    fpirs: Sequence[float] = FPIRS,
    warn: bool = True,
) -> dict[str, float]:
    """1:N identification of templates, the protocol of IJB-C, https://doi.org/10.1109/ICB2018.2018.00033, section 4, with the rules of
    ijb_evals.py of https://github.com/leondgarse/Keras_insightface. For each gallery the probes whose subject is in it are mated, all
    others are not. With n others, the threshold at an FPIR is the max(int(n FPIR) - 1, 0)-th largest, from 0, of their best scores.

    Args:
        vectors: (T, D) unit vectors, as of `verify`.
        ids: (T,) of the vectors' templates.
        galleries: (template ids, subjects) each.
        probes: (template ids, subjects).
        fpirs: false positive identification rates, each above 0 and below 1.
        warn: of probes whose people are in no gallery.

    Returns:
        "tpir@0.01" ...: share of mated probes whose own score is above the threshold and above all other people's in the gallery;
        "rank1", "rank5", "rank10": share of mated probes with fewer than k other people's templates that score as high;
        each the mean of the galleries

    Raises:
        DataError: an unknown template, no gallery, or one without mated or without other probes.
    """
    if not galleries:
        raise DataError("galleries: expected at least one, received none")
    _check_rates(fpirs, "fpirs")
    ids, vectors = whole(ids, "ids"), np.asarray(vectors)
    if vectors.ndim != 2 or not len(vectors) or ids.shape != (len(vectors),) or not np.isfinite(vectors).all():
        raise DataError(f"vectors, ids: expected finite (T, D) and (T,), received {vectors.shape} and {ids.shape}")
    order = np.argsort(ids, kind="stable")
    ids, vectors = ids[order], vectors[order]
    subjects, people = _checked(probes, "probes"), [_checked(gallery, "galleries") for gallery in galleries]
    if warn:
        warn_of_strangers(subjects, people)
    queries = vectors[rows_of(ids, whole(probes[0], "probes"), "probes")]
    found = []
    for at, gallery in enumerate(galleries):
        enrolled = vectors[rows_of(ids, whole(gallery[0], f"galleries[{at}]"), f"galleries[{at}]")]
        found.append(_searched(queries, subjects, enrolled, np.asarray(gallery[1]), fpirs, f"galleries[{at}]"))
    return {name: float(np.mean([values[name] for values in found])) for name in found[0]}


def _checked(protocol: Protocol, where: str) -> np.ndarray:
    """The subjects."""
    if np.ndim(protocol[0]) != 1 or np.shape(protocol[0]) != np.shape(protocol[1]) or not len(protocol[0]):
        shapes = f"{np.shape(protocol[0])} and {np.shape(protocol[1])}"
        raise DataError(f"{where}: expected template ids and as many subjects, received {shapes}")
    return np.asarray(protocol[1])


def _check_rates(rates: Sequence[float], where: str) -> None:
    if not all(0 < rate < 1 for rate in rates):
        raise DataError(f"{where}: expected rates above 0 and below 1, received {', '.join(f'{rate:g}' for rate in rates)}")


def mated_probes(subjects: np.ndarray, people: np.ndarray, where: str) -> np.ndarray:
    """Which probes are of people in a gallery (N,); raises DataError if all or none are."""
    mated = np.isin(subjects, people)
    if not mated.any() or mated.all():
        raise DataError(
            f"{where}: expected probes of people in it and of others, received {int(mated.sum())} and {int((~mated).sum())}: "
            "the thresholds come from the others"
        )
    return mated


def _searched(
    queries: np.ndarray, subjects: np.ndarray, enrolled: np.ndarray, people: np.ndarray, fpirs: Sequence[float], where: str
) -> dict[str, float]:
    mated = mated_probes(subjects, people, where)
    own, best, rank = np.empty(len(queries)), np.empty(len(queries)), np.empty(len(queries), int)
    for low in range(0, len(queries), ROWS):
        rows = slice(low, low + ROWS)
        scores = queries[rows] @ enrolled.T
        mine = subjects[rows, None] == people
        own[rows] = np.where(mine, scores, -np.inf).max(axis=1)
        others = np.where(mine, -np.inf, scores)
        best[rows] = others.max(axis=1)
        rank[rows] = (others >= own[rows, None]).sum(axis=1)
    strangers = np.sort(best[~mated])[::-1]
    values = {}
    for fpir in fpirs:
        threshold = strangers[max(int(len(strangers) * fpir) - 1, 0)]
        values[f"tpir@{fpir:g}"] = float(((own > best) & (own > threshold))[mated].mean())
    return values | {f"rank{k}": float((rank[mated] < k).mean()) for k in RANKS}
