"""Triplet loss by hand in loops, for every mining and distance, with gradients; batches without triplets."""

from itertools import product

import numpy as np
import paddle
import pytest

from ppface.core.errors import UserError
from ppface.losses import TripletLoss
from tests.nets.heads.test_margins import differences

MININGS, DISTANCES = ["batch_all", "batch_hard", "semi_hard"], ["squared", "euclidean"]


def reference(x, y, margin, mining, distance):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    count = len(x)
    d = [[float(np.sum((unit[i] - unit[j]) ** 2)) ** (1 if distance == "squared" else 0.5) for j in range(count)] for i in range(count)]
    losses = []
    for a in range(count):
        positives = [p for p in range(count) if p != a and y[p] == y[a]]
        negatives = [n for n in range(count) if y[n] != y[a]]
        if mining == "batch_hard" and positives and negatives:
            losses.append(max(0.0, max(d[a][p] for p in positives) - min(d[a][n] for n in negatives) + margin))
        if mining != "batch_hard":
            for p, n in product(positives, negatives):
                if mining == "batch_all" and d[a][p] - d[a][n] + margin > 1e-16:
                    losses.append(d[a][p] - d[a][n] + margin)
                if mining == "semi_hard" and d[a][p] < d[a][n] < d[a][p] + margin:
                    losses.append(d[a][p] - d[a][n] + margin)
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize(("mining", "distance"), list(product(MININGS, DISTANCES)))
def test_values_and_gradients_are_those_of_loops(mining, distance, rng):
    x, y = rng.normal(size=(9, 4)), np.array([0, 0, 0, 1, 1, 2, 2, 3, 1])  # person 3 has no positive
    embedding = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
    loss = TripletLoss(0.4, mining, distance, weight=2)({"embedding": embedding}, {"label": paddle.to_tensor(y)})["triplet"]
    want = reference(x, y, 0.4, mining, distance)
    assert float(loss) == pytest.approx(2 * want, rel=1e-5) and want > 0
    loss.backward()
    by_x = differences(lambda moved: 2 * reference(moved, y, 0.4, mining, distance), x, 1e-6)
    np.testing.assert_allclose(embedding.grad.numpy(), by_x, atol=1e-4)


@pytest.mark.parametrize(("mining", "distance"), list(product(MININGS, DISTANCES)))
def test_equal_and_zero_embeddings_give_finite_gradients(mining, distance):
    x = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [0, 0]], "float32")
    embedding = paddle.to_tensor(x, stop_gradient=False)
    loss = TripletLoss(0.2, mining, distance)({"embedding": embedding}, {"label": paddle.to_tensor([0, 0, 1, 2, 2])})["triplet"]
    loss.backward()
    assert np.isfinite(float(loss)) and np.isfinite(embedding.grad.numpy()).all()


@pytest.mark.parametrize("mining", MININGS)
def test_easy_triplets_have_no_loss(mining, caplog):
    x = paddle.to_tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]], stop_gradient=False)
    loss = TripletLoss(0.2, mining)({"embedding": x}, {"label": paddle.to_tensor([0, 0, 1, 1])})["triplet"]
    loss.backward()
    assert float(loss) == 0 and not x.grad.numpy().any() and not caplog.records


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("labels", [[0, 1, 2], [4, 4, 4], [7]])
def test_a_batch_without_triplets_has_no_loss_and_is_reported_once(mining, labels, rng, caplog):
    x = paddle.to_tensor(rng.normal(size=(len(labels), 3)).astype("float32"), stop_gradient=False)
    loss = TripletLoss(mining=mining)
    with caplog.at_level("WARNING"):
        for _ in range(2):
            value = loss({"embedding": x}, {"label": paddle.to_tensor(labels)})["triplet"]
    value.backward()
    assert float(value) == 0 and not x.grad.numpy().any()
    message = "TripletLoss: a batch without a positive or without a negative pair: its loss is 0; use IdentityBatches with images >= 2"
    assert [record.getMessage() for record in caplog.records] == [message]


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled on:UserWarning")  # on CPUs
def test_distances_are_in_float32_under_autocast(rng):
    x, label = paddle.to_tensor(rng.normal(size=(6, 8)).astype("float32")), paddle.to_tensor([0, 0, 0, 1, 1, 1])
    plain = TripletLoss()({"embedding": x}, {"label": label})["triplet"]
    with paddle.amp.auto_cast(dtype="bfloat16"):
        cast = TripletLoss()({"embedding": x}, {"label": label})["triplet"]
    assert cast.dtype == paddle.float32 and float(cast) == float(plain)


def test_arguments_that_do_not_fit_are_named():
    with pytest.raises(ValueError) as error:
        TripletLoss(margin=0)
    assert str(error.value) == "TripletLoss: expected margin > 0 and weight >= 0, received margin=0, weight=1.0"


@pytest.mark.parametrize("distance", DISTANCES)
def test_given_triplets_alone_count_and_easy_ones_too(distance, rng):
    x, y = rng.normal(size=(9, 4)), np.array([0, 0, 1, 0, 0, 1, 1, 2, 2])  # anchors, positives, negatives of three triplets
    embedding = paddle.to_tensor(x.astype("float32"), stop_gradient=False)

    def by_hand(x):
        u = [row / np.linalg.norm(row) for row in x]
        power = 1 if distance == "squared" else 0.5
        d = [(np.sum((u[i] - u[i + 3]) ** 2) ** power, np.sum((u[i] - u[i + 6]) ** 2) ** power) for i in range(3)]
        return 2 * sum(max(0.0, near - far + 0.4) for near, far in d) / 3

    loss = TripletLoss(0.4, "given", distance, weight=2)({"embedding": embedding}, {"label": paddle.to_tensor(y)})["triplet"]
    assert float(loss) == pytest.approx(by_hand(x), rel=1e-5) and by_hand(x) > 0
    loss.backward()
    np.testing.assert_allclose(embedding.grad.numpy(), differences(by_hand, x, 1e-6), atol=1e-4)


@pytest.mark.parametrize("distance", DISTANCES)
def test_given_triplets_of_equal_embeddings_give_finite_gradients(distance):
    embedding = paddle.to_tensor(np.array([[1, 0], [1, 0], [1, 0]], "float32"), stop_gradient=False)
    TripletLoss(0.2, "given", distance)({"embedding": embedding}, {"label": paddle.to_tensor([0, 0, 1])})["triplet"].backward()
    assert np.isfinite(embedding.grad.numpy()).all()


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0], [0, 0, 1, 1], [0, 0], [0, 0, 0, 1, 1, 1]])
def test_batches_that_are_not_given_triplets_are_refused(labels):
    with pytest.raises(UserError) as error:
        TripletLoss(mining="given")({"embedding": paddle.ones([len(labels), 3])}, {"label": paddle.to_tensor(labels)})
    assert str(error.value) == (
        "TripletLoss: expected anchors, as many positives and as many negatives in the batch of each process with mining=given, "
        "received another order of people: use the sampler OfflineTriplets, with batch_size three times its triplets"
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"mining": "batch-hard"}, "mining to be one of batch_all, batch_hard, semi_hard, given, received 'batch-hard'"),
        ({"distance": "l2"}, "distance to be one of squared, euclidean, received 'l2'"),
    ],
)
def test_misspelt_choices_are_refused_without_a_config_too(option, message):
    with pytest.raises(ValueError) as error:
        TripletLoss(**option)
    assert str(error.value) == f"TripletLoss: expected {message}"
