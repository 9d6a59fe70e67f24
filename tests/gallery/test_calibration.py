"""Thresholds at false match rates, against plain loops over all pairs."""

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.gallery import calibrate


@pytest.fixture
def material(rng):
    people = np.repeat(np.arange(12), 5)
    rows = rng.normal(size=(12, 1, 6)) + 0.7 * rng.normal(size=(12, 5, 6))
    rows = rows.reshape(60, 6).astype("float32")
    order = rng.permutation(60)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True))[order], people[order]


def pairs(vectors, people):
    impostors, genuine = [], []
    for i in range(len(people)):
        for j in range(i + 1, len(people)):
            (genuine if people[i] == people[j] else impostors).append(float(vectors[i] @ vectors[j]))
    return np.array(impostors), np.array(genuine)


@pytest.mark.parametrize("block", [7, 1024])
def test_rates_are_those_of_all_pairs(material, monkeypatch, block):
    monkeypatch.setattr("ppface.gallery.calibration.BLOCK", block)
    found = calibrate(*material, rates=[0.1, 0.02], use=0.02)
    impostors, genuine = pairs(*material)
    assert (found.impostors, found.genuine, found.people, found.images) == (len(impostors), len(genuine), 12, 60)
    for point in found.points:
        assert point["fmr"] == pytest.approx((impostors >= point["threshold"]).mean(), abs=1e-9)
        assert point["rate"] - 2 / len(impostors) < point["fmr"] <= point["rate"]
        assert point["fnmr"] == pytest.approx((genuine < point["threshold"]).mean(), abs=1e-9)
        assert point["fmr_95"][0] < point["fmr"] < point["fmr_95"][1] and point["fnmr_95"][0] < point["fnmr"] < point["fnmr_95"][1]
    assert found.threshold == found.points[1]["threshold"] > found.points[0]["threshold"]


def test_intervals_are_those_of_resampled_people(material, monkeypatch):
    """One resample by hand: every image of a person as often as the person was drawn, and no pair of a person with itself."""
    vectors, people = material
    monkeypatch.setattr("ppface.gallery.calibration.RESAMPLES", 20)
    point = calibrate(vectors, people, rates=[0.1]).points[0]
    draws = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 20)
    rates = []
    for draw in draws:
        false = total = 0
        for i in range(60):
            for j in range(i + 1, 60):
                if people[i] != people[j]:
                    weight = draw[people[i]] * draw[people[j]]
                    total += weight
                    false += weight * (vectors[i] @ vectors[j] >= point["threshold"])
        rates.append(false / total)
    low, high = np.quantile(rates, [0.025, 0.975])
    assert point["fmr_95"] == pytest.approx([low, high], abs=1e-9)


def test_a_rate_that_the_pairs_cannot_show_is_refused(material):
    with pytest.raises(DataError) as error:
        calibrate(*material, rates=[0.01])
    assert str(error.value) == (
        "calibrate: 1,650 pairs of different people cannot show a false match rate of 0.01: expected at least 3,000 (30 expected errors); "
        "add people, or take a rate of 0.018 or more"
    )
    with pytest.raises(DataError, match="0 pairs of different people"):
        calibrate(material[0], np.zeros(60, int))
    with pytest.raises(DataError, match="expected rates between 0 and 1 and one of them to use"):
        calibrate(*material, rates=[0.1], use=0.2)
    with pytest.raises(DataError, match="expected rates between 0 and 1 and one of them to use"):
        calibrate(*material, rates=[])


def test_one_image_a_person_says_nothing_of_missed_matches(rng):
    rows = rng.normal(size=(60, 6)).astype("float32")
    found = calibrate(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.arange(60), rates=[0.05])
    assert found.genuine == 0 and found.points[0]["fnmr"] is None


def test_the_stored_threshold_is_used_after_a_restart(material, tmp_path):
    from ppface.gallery import Gallery

    from .conftest import KEY, ModelIdentity

    with Gallery.create(tmp_path / "g.db", ModelIdentity("d", 6), KEY) as gallery:
        for row, person in zip(*material, strict=True):
            gallery.add(f"P{person}", row)
        gallery.set_calibration(calibrate(*gallery.vectors_and_people(), rates=[0.02]))
        wanted = gallery.threshold()
    with Gallery(tmp_path / "g.db", KEY) as gallery:
        assert gallery.threshold() == wanted
        strangers = -material[0].sum(axis=0)
        assert gallery.search(strangers)[0][0].name == "Unknown" and gallery.search(material[0][0])[0][0].score > wanted
        with pytest.raises(DataError, match="expected a threshold for by='mean'"):
            gallery.search(strangers, by="mean")
