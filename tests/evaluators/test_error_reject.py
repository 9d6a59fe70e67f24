"""The error-versus-reject curve by a loop over thresholds of quality, and what cannot give one."""

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.evaluators.error_reject import error_reject


def reference(distance, same, quality, fmr):
    """Every threshold of distance tried, then every threshold of quality."""
    best = max(d for d in distance if sum(distance[i] < d and not same[i] for i in range(len(same))) <= fmr * sum(~same))
    assert best in distance
    points = []
    for least in sorted(set(quality)):
        kept = [i for i in range(len(same)) if quality[i] >= least]
        genuine = [i for i in kept if same[i]]
        if genuine:
            points.append((1 - len(kept) / len(same), sum(distance[i] >= best for i in genuine) / len(genuine)))
    return points


@pytest.mark.parametrize("levels", [3, 10_000])
@pytest.mark.parametrize("fmr", [0.02, 0.1, 0.3])
def test_the_curve_is_that_of_the_loop(rng, levels, fmr):
    same = rng.random(240) < 0.5
    first, second = rng.integers(0, levels, (2, 240)).astype(float)
    distance = rng.normal(np.where(same, 1.0, 2.0), 0.5 + (np.minimum(first, second) < levels / 2))
    curve = error_reject(distance, same, first, second, fmr)
    np.testing.assert_allclose(
        np.stack([curve.rejected, curve.fnmr], 1), reference(distance, same, np.minimum(first, second), fmr), atol=1e-12
    )
    assert curve.rejected[0] == 0 and (np.diff(curve.rejected) > 0).all()
    assert curve.fmr == np.mean(distance[~same] < curve.threshold) <= fmr


def test_a_good_quality_lowers_the_error_and_a_useless_one_does_not(rng):
    same = np.arange(4000) % 2 == 0
    quality = rng.random(4000)
    distance = rng.normal(np.where(same, 1 + 3 * (quality < 0.3), 3), 0.2)  # images of low quality never match
    good, useless = (error_reject(distance, same, q, np.ones(4000), 0.01) for q in (quality, rng.random(4000)))
    at = [np.interp(0.35, curve.rejected, curve.fnmr) for curve in (good, useless)]
    assert at[0] < 0.3 * good.fnmr[0] and at[1] > 0.8 * good.fnmr[0]


def test_equal_qualities_are_one_point():
    curve = error_reject(np.array([1.0, 2, 3, 4]), np.array([True, True, False, False]), np.ones(4), np.ones(4), 0.5)
    assert (curve.rejected.tolist(), curve.fnmr.tolist(), curve.fmr, curve.threshold) == ([0], [0], 0.5, 4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fmr": 0.0}, "expected an FMR above 0 and below 1, received 0.0"),
        ({"fmr": 1e-3}, "expected at least 1,000 pairs of different people for an FMR of 0.001, received 2"),
        ({"issame": [False] * 4}, "issame: expected pairs of one person, received none"),
        ({"issame": [True] * 3}, "distance, issame, quality: expected one number for each pair, received shapes (4,), (3,) and (4,)"),
        ({"quality1": [1, 2, np.nan, 3]}, "quality: expected finite numbers, received nan for pair 2"),
    ],
)
def test_what_gives_no_curve_is_named(change, told):
    given = {"distance": [1.0, 2, 3, 4], "issame": [True, True, False, False], "quality1": np.ones(4), "quality2": np.ones(4), "fmr": 0.5}
    with pytest.raises(DataError) as caught:
        error_reject(**given | change)
    assert str(caught.value) == told
