"""Templates against the loops of the usual scripts: pooling in all modes, the ROC curve, both rules of TPR at FPR, open-set search."""

import math
from itertools import product

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.evaluators import roc, template_ids, templates
from ppface.evaluators.templates import fuse, identify, verify

FARS = (1e-3, 1e-2, 1e-1)


def protocol(rng, people: int = 12, each: int = 3, dimensions: int = 8) -> dict:
    """Templates of 1 to 5 images of some media; the images are in random order."""
    rows, label = [], {}
    for person, number in product(range(people), range(each)):
        template = 10 * (person * each + number) + 3
        label[template] = person
        centre = np.random.default_rng(person).normal(size=dimensions)
        rows += [(template, rng.integers(0, 3), centre + rng.normal(size=dimensions)) for _ in range(rng.integers(1, 6))]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    embedding = np.array([x for _, _, x in rows], np.float32)
    ids = sorted(label)
    pairs = np.array([(a, b) for a in ids for b in ids if a < b])
    return {
        "embedding": embedding,
        "flipped": embedding + rng.normal(size=embedding.shape).astype("float32") / 4,
        "template": np.array([t for t, _, _ in rows]),
        "media": np.array([m for _, m, _ in rows]),
        "pairs": pairs,
        "same": np.array([label[a] == label[b] for a, b in pairs]),
        "detector_score": rng.uniform(0.5, 1, len(rows)),
    }


def reference_templates(p: dict, norm: bool, detector: bool, flip: bool) -> np.ndarray:
    vectors = []
    for wanted in sorted(set(p["template"].tolist())):
        media: dict[int, list] = {}
        for i in range(len(p["template"])):
            if p["template"][i] == wanted:
                x = p["embedding"][i].astype(float) + (p["flipped"][i].astype(float) if flip else 0)
                x = x if norm else x / math.sqrt(sum(v * v for v in x))
                media.setdefault(int(p["media"][i]), []).append(x * (p["detector_score"][i] if detector else 1))
        total = sum(sum(images) / len(images) for images in media.values())
        vectors.append(total / math.sqrt(sum(v * v for v in total)))
    return np.array(vectors)


def reference_roc(scores, same) -> list[tuple[float, float]]:
    """Every distinct threshold as a point, in counts."""
    points = [(0, 0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        accepted = scores >= threshold
        points.append((int((accepted & ~same).sum()), int((accepted & same).sum())))
    return points


def reference_nearest(points, far: float) -> float:
    """scikit-learn's drop_intermediate (from the second point on), then the usual scripts' search from the high end."""
    body = points[1:]
    kept = [points[0], body[0]]
    for a, b, c in zip(body, body[1:], body[2:], strict=False):
        if (c[0] - b[0], c[1] - b[1]) != (b[0] - a[0], b[1] - a[1]):
            kept.append(b)
    kept.append(body[-1])
    fp, tp = kept[-1]
    nearest = min(range(len(kept)), key=lambda i: (abs(kept[i][0] / fp - far), -i))
    return kept[nearest][1] / tp


@pytest.mark.parametrize(("norm", "detector", "flip"), list(product([True, False], repeat=3)))
def test_all_eight_modes_agree_with_the_loops_of_the_scripts(rng, norm, detector, flip):
    p = protocol(rng)
    found = verify(**p, norm=norm, detector=detector, flip=flip, fars=FARS)
    vectors = reference_templates(p, norm, detector, flip)
    np.testing.assert_allclose(found["templates"], vectors, atol=1e-12)
    ids = sorted(set(p["template"].tolist()))
    scores = np.array([vectors[ids.index(a)] @ vectors[ids.index(b)] for a, b in p["pairs"]])
    points = reference_roc(scores, p["same"])
    assert [found[f"tpr@1e-{k}"] for k in (3, 2, 1)] == [reference_nearest(points, far) for far in FARS]
    strict = verify(**p, norm=norm, detector=detector, flip=flip, fars=FARS, rule="strict")
    fp, tp = points[-1]
    assert [strict[f"tpr@1e-{k}"] for k in (3, 2, 1)] == [max(t for f, t in points if f / fp <= far) / tp for far in FARS]
    genuine, impostor = scores[p["same"]], scores[~p["same"]]
    assert found["auc"] == pytest.approx(np.mean(genuine[:, None] > impostor), abs=1e-12)


def test_rules_differ_where_the_nearest_point_exceeds_the_rate():
    fpr, tpr = np.array([0, 0.0, 0.11, 1]), np.array([0, 0.5, 0.9, 1])
    assert roc.at_far(fpr, tpr, 0.1, "nearest") == 0.9
    assert roc.at_far(fpr, tpr, 0.1, "strict") == 0.5


def test_equal_scores_are_one_threshold():
    fpr, tpr = roc.roc(np.array([0.5, 0.5, 0.5, 0.1]), np.array([True, False, True, False]))
    assert fpr.tolist() == [0, 0.5, 1] and tpr.tolist() == [0, 1, 1]


def test_slices_and_gathered_scores_change_nothing(rng, monkeypatch):
    p = protocol(rng)
    whole = verify(**p, fars=FARS)
    monkeypatch.setattr(templates, "IMAGES", 4)
    monkeypatch.setattr(templates, "ROWS", 3)
    monkeypatch.setattr(template_ids, "TABLE", 0)
    monkeypatch.setattr(templates, "GATHER_COST", 0)
    parts = verify(**p, fars=FARS)
    np.testing.assert_allclose(parts["templates"], whole["templates"], atol=1e-15)
    assert {name: value for name, value in parts.items() if name != "templates"} == pytest.approx(
        {name: value for name, value in whole.items() if name != "templates"}, abs=1e-12
    )


def test_weights_of_images_and_of_numbers(rng):
    x, template, media = rng.normal(size=(4, 3)), np.array([7, 5, 7, 7]), np.zeros(4, int)
    norms = np.linalg.norm(x, axis=1)
    ids, vectors = fuse(x, None, template, media, norm=False, flip=False, weights=norms)
    total = x[0] + x[2] + x[3]  # unit vectors weighted by their lengths: the raw sum
    np.testing.assert_allclose(vectors, [x[1] / norms[1], total / np.linalg.norm(total)], atol=1e-12)
    assert ids.tolist() == [5, 7]
    precision = rng.uniform(1, 9, (4, 3))
    mean = sum(precision[i] * x[i] for i in (0, 2, 3)) / sum(precision[i] for i in (0, 2, 3))
    _, vectors = fuse(x, None, template, media, flip=False, weights=precision)
    np.testing.assert_allclose(vectors[1], mean / np.linalg.norm(mean), atol=1e-12)


def test_an_embedding_of_zeros_gives_a_template_of_zeros():
    _, vectors = fuse(np.zeros((2, 3)), None, np.array([1, 1]), np.array([0, 1]), flip=False, norm=False)
    assert vectors.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("rate", "name"), [(1e-6, "1e-6"), (1e-1, "1e-1"), (2.5e-4, "2.5e-4"), (0.01, "1e-2")])
def test_names_of_rates(rate, name):
    assert roc.rate_name(rate) == name


def reference_identify(vectors, ids, galleries, probes, fpir):
    values = []
    for gallery_ids, people in galleries:
        own_scores, hits, strangers, ranks = [], [], [], []
        for t, person in zip(*probes, strict=True):
            scores = [float(vectors[list(ids).index(t)] @ vectors[list(ids).index(g)]) for g in gallery_ids]
            if person not in people:
                strangers.append(max(scores))
                continue
            own = scores[list(people).index(person)]
            others = [score for score, other in zip(scores, people, strict=True) if other != person]
            own_scores.append(own)
            hits.append(own > max(others))
            ranks.append(sum(other >= own for other in others))
        threshold = sorted(strangers, reverse=True)[max(int(len(strangers) * fpir) - 1, 0)]
        tpir = np.mean([hit and own > threshold for hit, own in zip(hits, own_scores, strict=True)])
        values.append([tpir, *(np.mean([rank < k for rank in ranks]) for k in (1, 5, 10))])
    return np.mean(values, axis=0)


def test_identification_agrees_with_loops(rng):
    people, each = 24, 4
    centres = rng.normal(size=(people, 6))
    subject = np.repeat(np.arange(people), each)
    ids = rng.permutation(1000)[: len(subject)]
    vectors = centres[subject] + rng.normal(size=(len(subject), 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first = np.arange(len(subject)) % each == 0
    galleries = [(ids[first & (subject < 10)], subject[first & (subject < 10)])]
    galleries.append((ids[first & (subject >= 10)], subject[first & (subject >= 10)]))
    probes = (ids[~first], subject[~first])
    found = identify(vectors, ids, galleries, probes, fpirs=(0.1, 0.3))
    for fpir in (0.1, 0.3):
        expected = reference_identify(vectors, ids, galleries, probes, fpir)
        assert [found[name] for name in (f"tpir@{fpir}", "rank1", "rank5", "rank10")] == pytest.approx(expected, abs=1e-12)


def test_a_person_with_several_gallery_templates_counts_by_the_best():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6], [-1, 0]])
    found = identify(vectors, np.arange(5), [(np.array([0, 1, 2]), np.array([1, 1, 2]))], (np.array([3, 4]), np.array([1, 9])))
    assert found["rank1"] == 0  # 0.8 of person 1's first template, 0.96 of person 2
    found = identify(vectors, np.arange(5), [(np.array([0, 1, 2]), np.array([1, 2, 1]))], (np.array([3, 4]), np.array([1, 9])))
    assert found["rank1"] == found["tpir@0.01"] == 1


def test_probes_of_strangers_are_reported(caplog):
    with caplog.at_level("WARNING"):
        identify(np.eye(3), np.arange(3), [(np.array([0]), np.array([5]))], (np.array([1, 2]), np.array([5, 6])))
    assert "1 of 2 probes are of people in no gallery: they count as not enrolled" in caplog.text


def small(**changed) -> dict:
    arrays = {
        "embedding": np.eye(3),
        "flipped": None,
        "template": np.arange(3),
        "media": np.zeros(3, int),
        "pairs": np.array([[0, 1], [0, 2]]),
        "same": np.array([1, 0]),
        "flip": False,
    }
    return arrays | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"template": np.arange(2)}, "template: expected one number for each of 3 images, received (2,)"),
        ({"flip": True}, "flipped: expected the embeddings of the mirrored images with flip, received None"),
        ({"flip": True, "flipped": np.eye(2)}, "flipped: expected the shape of embedding (3, 3), received (2, 2)"),
        ({"detector": True}, "detector_score: expected a score for each image with detector, received None"),
        ({"detector": True, "detector_score": np.ones(4)}, "detector_score: expected one number for each of 3 images, received (4,)"),
        ({"weights": np.ones(4)}, "weights: expected (3,) or (3, 3), received (4,)"),
        ({"embedding": np.zeros(3)}, "embedding: expected (images, D), received (3,)"),
        ({"pairs": np.array([[0, 1], [0, 7]])}, "pairs: template 7 has no images (1 such entries)"),
        ({"same": np.array([1, 1])}, "same: expected pairs of one person and of two, received 2 and 0"),
        ({"same": np.array([1])}, "pairs, same: expected (P, 2) template ids and (P,), received (2, 2) and (1,)"),
        ({"pairs": np.array([[0, 0.5], [0, 2]])}, "pairs: expected whole numbers as ids, received an array of float64"),
        ({"template": np.array(["a", "b", "c"])}, "template: expected whole numbers as ids, received an array of <U1"),
        ({"rule": "loose"}, "rule: expected nearest or strict, received 'loose'"),
        ({"fars": (0.1, 1.0)}, "fars: expected rates above 0 and below 1, received 0.1, 1"),
        (
            {"embedding": np.diag([1, np.nan, 1])},
            "embedding: template 1 has numbers that are not finite: the model has diverged or the file is damaged",
        ),
    ],
)
def test_arrays_that_do_not_fit(changed, message):
    with pytest.raises(DataError) as raised:
        verify(**small(**changed))
    assert str(raised.value) == message


def test_ids_may_be_floats_as_numpy_reads_them():
    floats = {name: small()[name].astype(float) for name in ("template", "media", "pairs")}
    assert verify(**small(**floats))["auc"] == verify(**small())["auc"]
    gallery, probes = (np.array([0.0]), np.array([5])), (np.array([1.0, 2.0]), np.array([5, 6]))
    assert identify(np.eye(3), np.arange(3.0), [gallery], probes)["rank1"] == 1


def test_rates_that_the_pairs_cannot_show_are_reported(caplog):
    with caplog.at_level("WARNING"):
        verify(**small(), fars=(1e-2, 1e-1))
    assert "1 pairs of different people cannot show a FAR of 1e-2, 1e-1" in caplog.text


@pytest.mark.parametrize(
    ("galleries", "probes", "message"),
    [
        ([], ([0], [0]), "galleries: expected at least one, received none"),
        ([([0], [0])], ([1, 2], [0]), "probes: expected template ids and as many subjects, received (2,) and (1,)"),
        ([([9], [0])], ([1, 2], [0, 1]), "galleries[0]: template 9 has no images (1 such entries)"),
        (
            [([0], [0])],
            ([1, 2], [0, 0]),
            "galleries[0]: expected probes of people in it and of others, received 2 and 0: the thresholds come from the others",
        ),
    ],
)
def test_galleries_that_do_not_fit(galleries, probes, message):
    with pytest.raises(DataError) as raised:
        identify(np.eye(3), np.arange(3), galleries, probes)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("vectors", "ids", "fpirs", "message"),
    [
        (np.eye(3)[:2], np.arange(3), (0.1,), "vectors, ids: expected finite (T, D) and (T,), received (2, 3) and (3,)"),
        (np.eye(3) * np.nan, np.arange(3), (0.1,), "vectors, ids: expected finite (T, D) and (T,), received (3, 3) and (3,)"),
        (np.eye(3), np.arange(3), (1.5,), "fpirs: expected rates above 0 and below 1, received 1.5"),
    ],
)
def test_vectors_that_do_not_fit(vectors, ids, fpirs, message):
    with pytest.raises(DataError) as raised:
        identify(vectors, ids, [([0], [0])], ([1, 2], [0, 1]), fpirs)
    assert str(raised.value) == message
