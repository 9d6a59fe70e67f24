"""Fusion by precision and the mutual likelihood score in NumPy loops, and arrays that do not fit."""

import math

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.evaluators import uncertain
from ppface.evaluators.roc import at_far, roc
from ppface.evaluators.uncertain import fuse_by_precision, mutual_likelihood


def unit(x):
    return x / math.sqrt(sum(value * value for value in x))


def material(rng, rows=9, numbers=5):
    return rng.normal(size=(rows, numbers)) * rng.uniform(0.5, 30, (rows, 1)), np.exp(rng.normal(-5, 1, (rows, numbers)))


@pytest.mark.parametrize("rule", ["sum", "min"])
def test_fusion_follows_the_paper_and_the_code(rng, rule):
    mean, variance = material(rng)
    template = np.array([7, 3, 7, 7, 100, 3, 7, 3, 5])
    ids, means, variances = fuse_by_precision(mean.astype("float32"), variance.astype("float32"), template, rule)
    assert ids.tolist() == [3, 5, 7, 100]
    for row, wanted in enumerate(ids):
        own = [i for i in range(len(template)) if template[i] == wanted]
        precision = [sum(1 / variance[i, d] for i in own) for d in range(5)]
        total = np.array([sum(unit(mean[i])[d] / variance[i, d] for i in own) / precision[d] for d in range(5)])
        np.testing.assert_allclose(means[row], unit(total), rtol=1e-5)
        least = [min(variance[i, d] for i in own) for d in range(5)]
        np.testing.assert_allclose(variances[row], least if rule == "min" else 1 / np.array(precision), rtol=1e-5)


def test_one_image_is_its_own_template(rng):
    mean, variance = material(rng, 1)
    for rule in ("sum", "min"):
        _, means, variances = fuse_by_precision(mean, variance, np.array([4]), rule)
        np.testing.assert_allclose(means, [unit(mean[0])], rtol=1e-12)
        np.testing.assert_allclose(variances, variance, rtol=1e-12)


def test_an_uncertain_image_hardly_counts(rng):
    mean, _ = material(rng, 2)
    _, means, _ = fuse_by_precision(mean, np.stack([np.full(5, 1e-6), np.full(5, 1.0)]), np.array([1, 1]))
    np.testing.assert_allclose(means, [unit(mean[0])], atol=1e-5)


def test_scores_follow_the_paper(rng, monkeypatch):
    monkeypatch.setattr(uncertain, "ROWS", 4)
    (x, v), (y, w) = material(rng), material(rng)
    want = [
        -sum((unit(x[i])[d] - unit(y[i])[d]) ** 2 / (v[i, d] + w[i, d] + 1e-10) + math.log(v[i, d] + w[i, d]) for d in range(5))
        for i in range(9)
    ]
    np.testing.assert_allclose(mutual_likelihood(x, v, y, w), want, rtol=1e-10)
    np.testing.assert_allclose(mutual_likelihood(y, w, 3 * x, v), want, rtol=1e-10)


def test_scores_verify_better_than_cosines_where_the_variance_is_the_true_one(rng):
    people, same = rng.normal(size=(4000, 16)), np.arange(4000) % 2 == 0
    first = people / np.linalg.norm(people, axis=1, keepdims=True)
    second = np.where(same[:, None], first, np.roll(first, 1, axis=0))
    v, w = np.exp(rng.uniform(-9, -1, (2, 4000, 16)))
    x, y = first + rng.normal(size=v.shape) * np.sqrt(v), second + rng.normal(size=v.shape) * np.sqrt(w)
    found = []
    for scores in (mutual_likelihood(x, v, y, w), (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)):
        found.append(at_far(*roc(scores, same), 0.01, "strict"))
    assert found[0] > found[1] + 0.1


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def test_arrays_that_do_not_fit_are_named(rng):
    (x, v), ids = material(rng, 3), np.arange(3)
    for mean, variance, told in (
        (x, v[:2], "mean, variance: expected two arrays (N, D), received (3, 5) and (2, 5)"),
        (x, changed(v, (1, 2), 0.0), "variance: expected a finite number above 0 everywhere, received 0.0 in row 1"),
        (x, changed(v, (2, 2), np.inf), "variance: expected a finite number above 0 everywhere, received inf in row 2"),
        (changed(x, (0, 1), np.nan), v, "mean: expected a finite number everywhere, received nan in row 0"),
    ):
        with pytest.raises(DataError) as caught:
            fuse_by_precision(mean, variance, ids)
        assert str(caught.value) == told
    with pytest.raises(DataError, match=r"^template: expected one number for each of 3 images, received \(2,\)$"):
        fuse_by_precision(x, v, ids[:2])
    with pytest.raises(DataError, match=r"^mean1, mean2: expected one shape, received \(3, 5\) and \(2, 5\)$"):
        mutual_likelihood(x, v, x[:2], v[:2])
    with pytest.raises(DataError, match=r"^variance2: expected a finite number above 0 everywhere, received -1.0 in row 1$"):
        mutual_likelihood(x, v, x, changed(v, (1, 0), -1.0))
