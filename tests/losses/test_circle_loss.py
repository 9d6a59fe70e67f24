"""Circle loss of pairs by hand in NumPy, in both forms, with gradients; batches without pairs."""

import math

import numpy as np
import paddle
import pytest

from ppface.losses import CircleLoss
from tests.nets.heads.test_margins import differences


def softplus(value: float) -> float:
    return value + math.log1p(math.exp(-value)) if value > 0 else math.log1p(math.exp(value))


def log_sum_exp(values: list[float]) -> float:
    return max(values) + math.log(sum(math.exp(value - max(values)) for value in values))


def reference(x, y, m, gamma, form, fixed=None):
    """`fixed` embeddings give the factors in brackets, which have no gradient."""

    def cosine(a, i, j):
        return float(a[i] @ a[j] / (np.linalg.norm(a[i]) * np.linalg.norm(a[j])))

    fixed = x if fixed is None else fixed
    count, losses = len(x), []
    groups = [[(i, j) for i in range(count) for j in range(i + 1, count)]] if form == "batch" else []
    groups = groups or [[(i, j) for j in range(count) if j != i] for i in range(count)]
    for pairs in groups:
        positive = [-gamma * max(1 + m - cosine(fixed, i, j), 0) * (cosine(x, i, j) - (1 - m)) for i, j in pairs if y[i] == y[j]]
        negative = [gamma * max(cosine(fixed, i, j) + m, 0) * (cosine(x, i, j) - m) for i, j in pairs if y[i] != y[j]]
        losses.append(softplus(log_sum_exp(positive) + log_sum_exp(negative)) if positive and negative else 0.0)
    above = [loss for loss in losses if loss > 0]
    return sum(above) / len(above) if above else 0.0


@pytest.mark.parametrize("form", ["batch", "anchor"])
@pytest.mark.parametrize(("m", "gamma"), [(0.25, 256.0), (0.4, 80.0), (0.25, 1.0)])
def test_both_forms_follow_the_equations(form, m, gamma, rng):
    x, y = rng.normal(size=(8, 4)), np.array([0, 0, 0, 1, 1, 2, 3, 1])
    embedding = paddle.to_tensor(x.astype("float32"), stop_gradient=False)
    loss = CircleLoss(m, gamma, form, weight=0.5)({"embedding": embedding}, {"label": paddle.to_tensor(y)})["circle"]
    assert float(loss) == pytest.approx(0.5 * reference(x, y, m, gamma, form), rel=1e-5)
    loss.backward()
    want = 0.5 * differences(lambda moved: reference(moved, y, m, gamma, form, fixed=x), x)
    np.testing.assert_allclose(embedding.grad.numpy(), want, atol=1e-4 * max(1, np.abs(want).max()))


@pytest.mark.parametrize("form", ["batch", "anchor"])
@pytest.mark.parametrize("labels", [[0, 1, 2], [4, 4, 4], [7]])
def test_a_batch_without_pairs_has_no_loss_and_is_reported_once(form, labels, rng, caplog):
    embedding = paddle.to_tensor(rng.normal(size=(len(labels), 4)).astype("float32"), stop_gradient=False)
    loss = CircleLoss(form=form)
    with caplog.at_level("WARNING"):
        for _ in range(2):
            value = loss({"embedding": embedding}, {"label": paddle.to_tensor(labels)})["circle"]
    assert float(value) == 0
    value.backward()
    assert not embedding.grad.numpy().any()
    message = "CircleLoss: a batch without a positive or without a negative pair: its loss is 0; use IdentityBatches with images >= 2"
    assert [record.getMessage() for record in caplog.records] == [message]


def test_zero_embeddings_give_finite_gradients():
    embedding = paddle.to_tensor(np.zeros((4, 3), "float32"), stop_gradient=False)
    CircleLoss()({"embedding": embedding}, {"label": paddle.to_tensor([0, 0, 1, 1])})["circle"].backward()
    assert np.isfinite(embedding.grad.numpy()).all()


def test_a_misspelt_form_is_refused_without_a_config_too():
    with pytest.raises(ValueError, match="CircleLoss: expected form to be batch or anchor, received 'pairs'"):
        CircleLoss(form="pairs")
