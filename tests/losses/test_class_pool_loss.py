"""Class pool loss against loops; rows may be missing on either side."""

import numpy as np
import paddle
import pytest

from ppface.core.errors import UserError
from ppface.losses import CELoss, ClassPoolLoss


def outputs(rng, inside, outside):
    return {
        "pool_logits": paddle.to_tensor(rng.normal(size=(inside, 5)).astype("float32") * 30, stop_gradient=False),
        "pool_label": paddle.to_tensor(rng.integers(0, 5, inside)),
        "pool_weight": paddle.to_tensor(rng.uniform(0.1, 1, inside).astype("float32")),
        "outlier_cosine": paddle.to_tensor(rng.uniform(-1, 1, (outside, 3)).astype("float32"), stop_gradient=False),
        "outlier_weight": paddle.to_tensor(rng.uniform(0.1, 1, outside).astype("float32")),
    }


@pytest.mark.parametrize(("inside", "outside"), [(6, 4), (6, 0), (0, 4), (0, 0)])
def test_the_two_parts_as_in_loops(rng, inside, outside):
    given = outputs(rng, inside, outside)
    values = ClassPoolLoss(weight=0.5)(given, {})
    ce = outlier = 0.0
    for row, label, weight in zip(*(given[f"pool_{name}"].numpy() for name in ("logits", "label", "weight")), strict=True):
        row = row.astype("float64")
        ce += weight * (np.log(sum(np.exp(logit - row[label]) for logit in row)))
    for row, weight in zip(given["outlier_cosine"].numpy(), given["outlier_weight"].numpy(), strict=True):
        outlier += 0.5 * weight * sum(max(cosine, 0) for cosine in row.tolist()) / 3
    assert float(values["ce"]) == pytest.approx(ce, rel=1e-5) and float(values["outlier"]) == pytest.approx(outlier, rel=1e-5)
    sum(values.values()).backward()
    assert given["pool_logits"].grad.shape == [inside, 5] and np.isfinite(given["outlier_cosine"].grad.numpy()).all()


def test_mistakes_name_what_to_change(rng):
    with pytest.raises(ValueError, match=r"^ClassPoolLoss: expected weight >= 0, received weight=-1$"):
        ClassPoolLoss(weight=-1)
    with pytest.raises(UserError) as caught:
        ClassPoolLoss()({"embedding": None, "logits": None}, {})
    assert str(caught.value) == "ClassPoolLoss: expected a head with a pool, received one without: set model.head={name: DynamicClassPool}"
    with pytest.raises(UserError, match=r"^CELoss: expected a head with logits, received one with pool_logits, pool_label,"):
        CELoss()(outputs(rng, 1, 1), {})
