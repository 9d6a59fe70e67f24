"""The mutual likelihood loss by hand in NumPy loops over ordered pairs, with gradients; batches without pairs; wrong heads."""

import math

import numpy as np
import paddle
import pytest

from ppface.core.errors import UserError
from ppface.losses import MLSLoss
from tests.nets.heads.test_margins import differences


def reference(x, v, y):
    scores = []
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j and y[i] == y[j]:
                score = 0.0
                for d in range(x.shape[1]):
                    total = v[i, d] + v[j, d]
                    score += (x[i, d] - x[j, d]) ** 2 / (1e-10 + total) + math.log(total)
                scores.append(score)
    return sum(scores) / len(scores)


def material(rng, rows=7, numbers=4):
    x = rng.normal(size=(rows, numbers))
    return x / np.linalg.norm(x, axis=1, keepdims=True), np.exp(rng.normal(-3, 1, (rows, numbers)))


def ask(loss, x, v, y):
    x, v = (paddle.to_tensor(array.astype("float32"), stop_gradient=False) for array in (x, v))
    return x, v, loss({"embedding": x, "variance": v}, {"label": paddle.to_tensor(y)})["mls"]


def test_the_loss_and_its_gradients_follow_the_paper(rng):
    y = np.array([0, 1, 0, 2, 1, 0, 3])
    x, v = material(rng)
    embedding, variance, loss = ask(MLSLoss(0.5), x, v, y)
    assert float(loss) == pytest.approx(0.5 * reference(x, v, y), rel=1e-5)
    loss.backward()
    for tensor, want in (
        (embedding, differences(lambda moved: 0.5 * reference(moved, v, y), x)),
        (variance, differences(lambda moved: 0.5 * reference(x, moved, y), v)),
    ):
        np.testing.assert_allclose(tensor.grad.numpy(), want, atol=1e-5 * np.abs(want).max())


def test_it_is_lower_with_the_variance_that_the_pair_has():
    x, y = np.array([[0.6, 0.8], [0.8, 0.6]]), np.array([5, 5])
    losses = [float(ask(MLSLoss(), x, np.full((2, 2), v), y)[2]) for v in (0.01, 0.02, 0.04)]
    assert losses[1] < min(losses[0], losses[2])  # (0.2^2) / 2v + ln 2v is least at 2v = 0.2^2


def test_equal_embeddings_and_the_least_variance_are_finite():
    x, v = np.array([[1.0, 0], [1, 0], [-1, 0]]), np.full((3, 2), 1e-6)
    embedding, variance, loss = ask(MLSLoss(), x, v, np.zeros(3, int))
    loss.backward()
    assert np.isfinite([float(loss), *embedding.grad.numpy().ravel(), *variance.grad.numpy().ravel()]).all()


@pytest.mark.parametrize("labels", [[0, 1, 2], [7]])
def test_a_batch_without_pairs_has_no_loss_and_is_reported_once(labels, rng, caplog):
    x, v = material(rng, len(labels))
    loss = MLSLoss()
    with caplog.at_level("WARNING", "ppface"):
        for _ in range(2):
            embedding, variance, value = ask(loss, x, v, labels)
    assert float(value) == 0
    value.backward()
    assert not variance.grad.numpy().any() and embedding.grad is None
    message = "MLSLoss: a batch without two pictures of one person: its loss is 0; use IdentityBatches with images >= 2"
    assert [record.getMessage() for record in caplog.records] == [message]


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")
def test_scores_are_in_float32_under_autocast(rng):
    x, v = material(rng)
    y = np.array([0, 0, 0, 1, 1, 1, 1])
    with paddle.amp.auto_cast(dtype="bfloat16", level="O2"):
        half = {"embedding": paddle.to_tensor(x, "bfloat16"), "variance": paddle.to_tensor(v, "bfloat16")}
        loss = MLSLoss()(half, {"label": paddle.to_tensor(y)})["mls"]
    assert loss.dtype == paddle.float32
    exact = [half[name].astype("float32").numpy().astype("float64") for name in ("embedding", "variance")]
    assert float(loss) == pytest.approx(reference(*exact, y), rel=1e-5)


def test_mistakes_are_named(rng):
    with pytest.raises(ValueError, match=r"^MLSLoss: expected weight >= 0, received weight=-1.0$"):
        MLSLoss(-1.0)
    with pytest.raises(UserError) as caught:
        MLSLoss()({"embedding": paddle.ones([2, 3])}, {"label": paddle.to_tensor([0, 0])})
    assert str(caught.value) == "MLSLoss: expected a head with variances, received one without: set model.head={name: UncertaintyHead}"
