"""Distribution distillation by hand in loops, with gradients; batches that lack pairs."""

import math

import numpy as np
import paddle
import pytest

from ppface.losses import DistributionDistillation
from tests.nets.heads.test_margins import differences

LABEL = np.array([0, 1, 2, 0, 1, 2, 5, 4, 5, 4, 0])
HARD = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1], bool)


def embeddings(rng):
    """Four numbers each; those of one person are close to each other."""
    return rng.normal(size=(6, 4))[LABEL] + 0.5 * rng.normal(size=(11, 4))


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def reference(x, y, hard, bins, spread, negatives):
    """The three terms without their weights."""
    positive, negative = [], []
    for half in (False, True):
        rows = [i for i in range(len(x)) if hard[i] == half]
        pairs = [cosine(x[i], x[j]) for i in rows for j in rows if i < j and y[i] == y[j]]
        positive.append([s for s in pairs if s > 0])
        if negatives == "all":
            negative.append([max(cosine(x[i], x[j]) for j in rows if y[j] != y[i]) for i in rows])
        else:
            negative.append([max([0.0, *(cosine(x[i], x[j]) for j in rows if j > i and y[j] != y[i])]) for i in rows])

    def histogram(values):
        weights = [sum(math.exp(-((s - t / bins) ** 2) / (2 * spread**2)) for s in values) for t in range(bins)]
        return [weight / sum(weights) for weight in weights]

    def divergence(easy, hard):
        both = zip(histogram(easy), histogram(hard), strict=True)
        return sum((p + 1e-9) * (math.log(p + 1e-9) - math.log(q + 1e-9)) for p, q in both)

    order = sum(np.mean(n) - np.mean(p) for n in negative for p in positive)
    return {"positive_kl": divergence(*positive), "negative_kl": divergence(*negative), "order": order}


@pytest.mark.parametrize("negatives", ["all", "later"])
@pytest.mark.parametrize(("bins", "spread"), [(40, 0.1), (10, 0.3)])
def test_values_and_gradients_follow_the_equations(negatives, bins, spread, rng):
    x = embeddings(rng)
    embedding = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
    loss = DistributionDistillation(0.1, 0.2, 0.5, bins, spread, negatives)
    found = loss({"embedding": embedding}, {"label": paddle.to_tensor(LABEL), "hard": paddle.to_tensor(HARD)})
    weights = {"positive_kl": 0.1, "negative_kl": 0.2, "order": 0.5}
    want = reference(x, LABEL, HARD, bins, spread, negatives)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: weights[name] * want[name] for name in weights}, rel=1e-4
    )
    sum(found.values()).backward()

    def total(moved):
        return sum(weights[name] * value for name, value in reference(moved, LABEL, HARD, bins, spread, negatives).items())

    np.testing.assert_allclose(embedding.grad.numpy(), differences(total, x, 1e-6), atol=1e-4)


def test_hard_samples_may_be_marked_by_whole_numbers(rng):
    outputs, label = {"embedding": paddle.to_tensor(embeddings(rng), "float32")}, paddle.to_tensor(LABEL)
    found = [DistributionDistillation()(outputs, {"label": label, "hard": paddle.to_tensor(HARD.astype(kind))}) for kind in (bool, "int64")]
    assert {name: float(value) for name, value in found[0].items()} == {name: float(value) for name, value in found[1].items()}


def test_pairs_of_opposite_embeddings_are_left_out(rng):
    x = embeddings(rng)
    x[8] = -x[6]  # a pair of person 5 among the hard samples
    found = DistributionDistillation(bins=40)(
        {"embedding": paddle.to_tensor(x.astype("float32"))}, {"label": paddle.to_tensor(LABEL), "hard": paddle.to_tensor(HARD)}
    )
    assert float(found["positive_kl"]) == pytest.approx(0.1 * reference(x, LABEL, HARD, 40, 0.1, "all")["positive_kl"], rel=1e-4)


def test_equal_halves_have_no_divergence(rng):
    half, label = rng.normal(size=(6, 4)), [0, 0, 0, 1, 1, 1]
    x, hard = paddle.to_tensor(np.concatenate([half, half]).astype("float32")), paddle.to_tensor([False] * 6 + [True] * 6)
    found = DistributionDistillation()({"embedding": x}, {"label": paddle.to_tensor(label * 2), "hard": hard})
    assert float(found["positive_kl"]) == pytest.approx(0, abs=1e-6) and float(found["negative_kl"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("label", "hard", "lacks"),
    [
        ([0, 0, 1, 1], [False] * 4, "pair of one person with a cosine above 0 among its hard samples"),
        ([0, 0, 1, 1], [True] * 4, "pair of one person with a cosine above 0 among its easy samples"),
        ([0, 1, 2, 2, 3], [False, False, True, True, True], "pair of one person with a cosine above 0 among its easy samples"),
        ([0, 0, 1, 2, 2], [False, False, False, True, True], "pair of two people among its hard samples"),
        ([7], [True], "pair of one person with a cosine above 0 among its easy samples"),
    ],
)
def test_a_batch_without_pairs_has_no_loss_and_is_reported_once(label, hard, lacks, rng, caplog):
    x = np.abs(rng.normal(size=(len(label), 3)))  # all cosines are above 0
    embedding, loss = paddle.to_tensor(x.astype("float32"), stop_gradient=False), DistributionDistillation()
    with caplog.at_level("WARNING"):
        for _ in range(2):
            found = loss({"embedding": embedding}, {"label": paddle.to_tensor(label), "hard": paddle.to_tensor(hard)})
    sum(found.values()).backward()
    assert all(float(value) == 0 for value in found.values()) and not embedding.grad.numpy().any()
    message = f"DistributionDistillation: a batch without a {lacks}: its loss is 0; use the sampler EasyHardBatches"
    assert [record.getMessage() for record in caplog.records] == [message]


def test_zero_and_equal_embeddings_give_finite_gradients():
    x = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [1, 1], [1, 1], [1, 0], [0, 0]], "float32")
    embedding = paddle.to_tensor(x, stop_gradient=False)
    batch = {"label": paddle.to_tensor([0, 0, 1, 1, 0, 0, 1, 1]), "hard": paddle.to_tensor([False] * 4 + [True] * 4)}
    sum(DistributionDistillation()({"embedding": embedding}, batch).values()).backward()
    assert np.isfinite(embedding.grad.numpy()).all() and embedding.grad.numpy().any()


def test_arguments_that_do_not_fit_are_named():
    with pytest.raises(ValueError) as error:
        DistributionDistillation(order_weight=-1)
    received = "received 0.1, 0.02, -1, bins=1000, spread=0.1"
    assert str(error.value) == f"DistributionDistillation: expected weights >= 0, bins >= 2 and spread > 0, {received}"


def test_a_misspelt_choice_of_negatives_is_refused_without_a_config_too():
    with pytest.raises(ValueError, match="DistributionDistillation: expected negatives to be all or later, received 'next'"):
        DistributionDistillation(negatives="next")
