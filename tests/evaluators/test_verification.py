"""The k-fold protocol of LFW against itself in literal loops, its edges, and the one line that each bad input gets."""

import itertools

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.evaluators import folds as scoring
from ppface.evaluators.verification import evaluate


def reference(embeddings1, embeddings2, issame, folds):
    """As the usual evaluation does it: loops over folds and thresholds, one comparison at a time."""
    distance = []
    for a, b in zip(embeddings1.astype("float64"), embeddings2.astype("float64"), strict=True):
        a, b = a / (np.sqrt((a * a).sum()) or 1), b / (np.sqrt((b * b).sum()) or 1)
        distance.append(((a - b) ** 2).sum())
    distance, issame = np.array(distance), np.array(issame, bool)
    parts = np.array_split(np.arange(len(issame)), folds)
    accuracy, best, tar = [], [], {name: [] for name, far in scoring.FARS.items() if (~issame).sum() * far > 0.999}
    for test in parts:
        train = np.setdiff1d(np.arange(len(issame)), test)
        right = [np.mean((distance[train] < t) == issame[train]) for t in np.arange(0, 4, 0.01)]
        best.append(np.arange(0, 4, 0.01)[int(np.argmax(right))])
        accuracy.append(np.mean((distance[test] < best[-1]) == issame[test]))
        strangers = distance[train][~issame[train]]
        far = [np.mean(strangers < t) for t in np.arange(0, 4, 0.001)]
        for name, values in tar.items():
            threshold = interpolated(scoring.FARS[name], far, np.arange(0, 4, 0.001))
            values.append(np.mean(distance[test][issame[test]] < threshold))
    rates = [(np.mean(distance[~issame] <= d), np.mean(distance[issame] <= d)) for d in [-1, *sorted(set(distance))]]
    area = sum((x - w) * (y + v) / 2 for (w, v), (x, y) in itertools.pairwise(rates))
    for (w, v), (x, y) in itertools.pairwise(rates):
        if w + v <= 1 <= x + y:
            equal = w + (x - w) * (1 - w - v) / (x + y - w - v)
    numbers = {"accuracy": np.mean(accuracy), "std": np.std(accuracy), "threshold": np.mean(best), "auc": area, "eer": equal}
    return numbers | {name: np.mean(values) for name, values in tar.items()}


def interpolated(wanted, far, thresholds):
    if far[-1] < wanted:
        return 0.0
    for i in reversed(range(len(far))):
        if far[i] <= wanted:
            if far[i] == wanted or i + 1 == len(far):
                return thresholds[i]
            return thresholds[i] + (wanted - far[i]) / (far[i + 1] - far[i]) * (thresholds[i + 1] - thresholds[i])
    return None


def pairs(rng, count, size=16, likeness=0.8, coarse=False):
    """Embeddings of pairs in a random order of classes."""
    issame = rng.permutation(np.arange(count) % 2 == 0)
    one, other = rng.normal(size=(2, count, size)).astype("float32")
    two = np.where(issame[:, None], likeness * one + (1 - likeness) * other, other).astype("float32")
    if coarse:  # many equal distances, and many that are thresholds themselves
        one, two = np.sign(one), np.sign(two)
    return one, two, issame


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_protocol_in_literal_loops(seed):
    rng = np.random.default_rng(seed)
    count, folds = int(rng.integers(60, 400)), int(rng.integers(2, 11))
    one, two, issame = pairs(rng, count, size=int(rng.integers(2, 40)), likeness=rng.uniform(0.1, 0.9), coarse=seed % 3 == 0)
    got, want = evaluate(one, two, issame, folds), reference(one, two, issame, folds)
    low, high = got.pop("accuracy_ci95")
    assert set(got) == set(want)
    for name, value in want.items():
        assert got[name] == pytest.approx(value, abs=1e-9), name
    assert 0 <= low <= got["accuracy"] <= high <= 1


def test_as_many_pairs_as_a_far_of_1e_3_asks_for():
    one, two, issame = pairs(np.random.default_rng(5), 2000, likeness=0.4)
    got, want = evaluate(one, two, issame), reference(one, two, issame, 10)
    assert set(want) >= {"tar@1e-1", "tar@1e-2", "tar@1e-3"}
    assert {name: got[name] for name in want} == pytest.approx(want, abs=1e-9)
    assert 0 < got["tar@1e-3"] < got["tar@1e-2"] < got["tar@1e-1"] < 1


def test_a_far_that_the_pairs_cannot_show_is_refused_by_name(rng):
    got = evaluate(*pairs(rng, 1998))
    assert "tar@1e-3" not in got and got.get("tar@1e-4") is None
    with pytest.raises(DataError) as error:
        got["tar@1e-3"]
    assert str(error.value) == "tar@1e-3: expected at least 1,000 pairs of different people, received 999"
    with pytest.raises(KeyError):
        got["tar@1e-5"]


def test_perfect_and_reversed_embeddings(rng):
    one, two, issame = pairs(rng, 200)
    far = evaluate(one, np.where(issame[:, None], one, two), issame)
    assert (far["accuracy"], far["std"], far["auc"], far["eer"], far["tar@1e-1"]) == (1, 0, 1, 0, 1)
    assert far["threshold"] == pytest.approx(0.01)  # the smallest of those that are best
    assert far["accuracy_ci95"] == pytest.approx((0.98116, 1.0), abs=1e-5)
    turned = evaluate(one, np.where(issame[:, None], -one, one), issame)
    assert (turned["accuracy"], turned["auc"], turned["eer"]) == pytest.approx((0.5, 0, 1))


def test_lengths_do_not_matter_and_a_zero_row_counts(rng):
    one, two, issame = pairs(rng, 100)
    longer = rng.uniform(0.01, 1e20, (100, 1)).astype("float32")
    scaled, plain = evaluate(one * longer, two, issame), evaluate(one, two, issame)
    assert all(scaled[name] == pytest.approx(plain[name], abs=1e-5) for name in plain)
    one[3] = 0
    assert evaluate(one, two, issame)["accuracy"] == pytest.approx(reference(one, two, issame, 10)["accuracy"])


def test_ints_lists_and_files_serve_too(tmp_path, rng):
    one, two, issame = pairs(rng, 100)
    np.save(tmp_path / "1.npy", one)
    np.save(tmp_path / "2.npy", two)
    assert evaluate(tmp_path / "1.npy", str(tmp_path / "2.npy"), issame.astype(int).tolist()) == evaluate(one, two, issame)
    for name, content in (("object.npy", np.array([1, "x"], object)), ("text.npy", None)):
        np.save(tmp_path / name, content, allow_pickle=True) if content is not None else (tmp_path / name).write_text("embeddings")
        with pytest.raises(DataError, match=rf"{name}: expected a .npy file of embeddings \(.+\)$"):
            evaluate(tmp_path / name, two, issame)


@pytest.mark.parametrize("damage", [lambda data: data, lambda data: data[:-30]])
def test_an_archive_of_arrays_is_no_array(tmp_path, rng, damage):
    one, two, issame = pairs(rng, 100)
    np.savez(tmp_path / "e.npz", one=one, two=two)
    (tmp_path / "e.npz").write_bytes(damage((tmp_path / "e.npz").read_bytes()))
    with pytest.raises(DataError) as error:
        evaluate(tmp_path / "e.npz", two, issame)
    told = "expected a .npy file of embeddings, received a .npz archive: use one of its arrays"
    assert str(error.value) == f"{tmp_path / 'e.npz'}: {told}"


def test_folds_may_be_a_number_of_numpy(rng):
    given = pairs(rng, 100)
    assert evaluate(*given, np.int64(5)) == evaluate(*given, 5)


def test_the_interval_never_leaves_0_to_1():
    assert all(scoring.wilson(1.0, count)[1] <= 1 and scoring.wilson(0.0, count)[0] >= 0 for count in range(1, 400))


def test_the_interval_is_wilsons():
    low, high = scoring.wilson(0.9, 100)
    for bound in (low, high):  # where the score test is just significant
        assert abs(0.9 - bound) / np.sqrt(bound * (1 - bound) / 100) == pytest.approx(1.959964, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a, b, s: (a, b[:-1], s, 10),
            "embeddings1, embeddings2: expected two (N, D) arrays, a row for each pair; received shapes (40, 16) and (39, 16)",
        ),
        (
            lambda a, b, s: (a[:, 0], b[:, 0], s, 10),
            "embeddings1, embeddings2: expected two (N, D) arrays, a row for each pair; received shapes (40,) and (40,)",
        ),
        (lambda a, b, s: (a.astype(str), b, s, 10), "embeddings1: expected numbers, received an array of <U32"),
        (lambda a, b, s: (a, b, s[:-1], 10), "issame: expected a flag for each of the 40 pairs, received shape (39,)"),
        (lambda a, b, s: (a, b, s * 2, 10), "issame: expected only true and false, received 2"),
        (lambda a, b, s: (a, b, s, 1), "folds: expected 2 to 40, the number of pairs, received 1"),
        (lambda a, b, s: (a, b, s, 41), "folds: expected 2 to 40, the number of pairs, received 41"),
        (lambda a, b, s: (a, b, s, "10"), "folds: expected 2 to 40, the number of pairs, received '10'"),
        (lambda a, b, s: (a, b, s, 2.0), "folds: expected 2 to 40, the number of pairs, received 2.0"),
        (lambda a, b, s: (a, b, s, None), "folds: expected 2 to 40, the number of pairs, received None"),
        (
            lambda a, b, s: (a, b, np.sort(s), 10),
            "fold 1 of 10 (pairs 1 to 4) contains only different pairs; expected both classes: "
            "folds are consecutive pairs, mix their order",
        ),
        (
            lambda a, b, s: (a, b, np.ones(40), 7),
            "fold 1 of 7 (pairs 1 to 6) contains only same pairs; expected both classes: folds are consecutive pairs, mix their order",
        ),
    ],
)
def test_what_cannot_be_scored_is_named(rng, change, message):
    one, two, _ = pairs(rng, 40)
    with pytest.raises(DataError) as error:
        evaluate(*change(one, two, np.arange(40) % 2))
    assert str(error.value) == message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_named_with_its_row(rng, value):
    one, two, issame = pairs(rng, 600)
    two[517, 3] = value
    with pytest.raises(DataError) as error:
        evaluate(one, two, issame)
    told = "embeddings2: row 517 contains a number that is not finite: did the model diverge, or is the file damaged?"
    assert str(error.value) == told
