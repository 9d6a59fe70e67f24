"""Every head again by hand: logits in NumPy float64 from the papers' formulas, gradients by differences of them, and what must not break."""

import math

import numpy as np
import paddle
import pytest

from ppface.core.errors import DataError
from ppface.losses import CELoss
from ppface.nets.heads import AdaMargin, ArcMargin, CombinedMargin, CosMargin, NormFace, Softmax

N, D, C = 6, 5, 9


def cosines(x, w, limit=1.0):
    out = np.zeros((len(x), w.shape[1]))
    for i, row in enumerate(x):
        for j in range(w.shape[1]):
            out[i, j] = row @ w[:, j] / (np.linalg.norm(row) * np.linalg.norm(w[:, j]))
    return np.clip(out, -limit, limit)


def with_target(cosine, y, change, s):
    out = cosine.copy()
    for i, j in enumerate(y):
        out[i, j] = change(math.acos(cosine[i, j]), i)
    return out * s


def arc(theta, m, easy=False, beyond="linear"):
    if easy:
        return math.cos(theta + m) if theta < math.pi / 2 else math.cos(theta)
    if theta + m <= math.pi or beyond == "none":
        return math.cos(theta + m)
    return -1.0 if beyond == "clip" else math.cos(theta) - m * math.sin(math.pi - m)


def ada(x, w, y, m=0.4, s=64.0, h=0.333, t_alpha=0.01, mean=20.0, std=100.0, norms=None):
    norms = np.clip(np.linalg.norm(x, axis=1) if norms is None else norms, 1e-3, 100)  # `norms` held still: no gradient through them
    mean = norms.mean() * t_alpha + (1 - t_alpha) * mean
    std = norms.std(ddof=1) * t_alpha + (1 - t_alpha) * std
    scaler = np.clip((norms - mean) / (std + 1e-3) * h, -1, 1)

    def change(theta, i):
        return math.cos(np.clip(theta - m * scaler[i], 1e-3, math.pi - 1e-3)) - (m + m * scaler[i])

    return with_target(cosines(x, w, 1 - 1e-3), y, change, s)


def cross_entropy(logits, y, smoothing=0.0):
    total = 0.0
    for row, j in zip(logits, y, strict=True):
        log_p = row - row.max() - math.log(np.exp(row - row.max()).sum())
        total -= (1 - smoothing) * log_p[j] + smoothing * log_p.mean()
    return total / len(logits)


HEADS = {
    "ada": (lambda **k: AdaMargin(D, C, **k), lambda x, w, y, norms: ada(x, w, y, norms=norms)),
    "ada_sharp": (
        lambda **k: AdaMargin(D, C, m=0.75, s=32, h=2.0, t_alpha=0.5, **k),
        lambda x, w, y, norms: ada(x, w, y, 0.75, 32, 2.0, 0.5, norms=norms),
    ),
    "arc": (lambda **k: ArcMargin(D, C, **k), lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: arc(t, 0.5), 64)),
    "arc_wide": (
        lambda **k: ArcMargin(D, C, m=1.5, s=10, **k),
        lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: arc(t, 1.5), 10),
    ),
    "arc_clip": (
        lambda **k: ArcMargin(D, C, m=1.5, s=10, beyond="clip", **k),
        lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: arc(t, 1.5, beyond="clip"), 10),
    ),
    "arc_none": (
        lambda **k: ArcMargin(D, C, m=1.5, s=10, beyond="none", **k),
        lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: arc(t, 1.5, beyond="none"), 10),
    ),
    "arc_easy": (
        lambda **k: ArcMargin(D, C, easy_margin=True, **k),
        lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: arc(t, 0.5, easy=True), 64),
    ),
    "cos": (lambda **k: CosMargin(D, C, **k), lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: math.cos(t) - 0.4, 64)),
    "combined": (
        lambda **k: CombinedMargin(D, C, m1=1.2, m2=0.3, m3=0.2, s=20, **k),
        lambda x, w, y, _: with_target(cosines(x, w), y, lambda t, i: math.cos(1.2 * t + 0.3) - 0.2, 20),
    ),
    "norm": (lambda **k: NormFace(D, C, **k), lambda x, w, y, _: cosines(x, w) * 30),
    "norm_learned": (lambda **k: NormFace(D, C, s=7, learn_s=True, **k), lambda x, w, y, _: cosines(x, w) * 7),
    "softmax": (lambda **k: Softmax(D, C, **k), lambda x, w, y, _: x @ w),
}


def material(rng, rows=N):
    x, w = rng.normal(size=(rows, D)) * rng.uniform(0.5, 40, (rows, 1)), rng.normal(size=(D, C))
    return x, w, rng.integers(0, C, rows)


def ready(head, w, x):
    head.kernel.set_value(paddle.to_tensor(w.astype("float32")))
    embedding = paddle.to_tensor(x.astype("float32"))
    embedding.stop_gradient = False
    return embedding


def differences(function, array, step=1e-5):
    out = np.zeros_like(array)
    for place in np.ndindex(*array.shape):
        up, down = array.copy(), array.copy()
        up[place] += step
        down[place] -= step
        out[place] = (function(up) - function(down)) / (2 * step)
    return out


@pytest.mark.parametrize("name", HEADS)
def test_logits_loss_and_gradients_follow_the_paper(name, rng):
    make, reference = HEADS[name]
    x, w, y = material(rng)
    norms = np.linalg.norm(x, axis=1)
    head = make()
    embedding = ready(head, w, x)
    logits = head(embedding, paddle.to_tensor(y))
    want = reference(x, w, y, norms)
    np.testing.assert_allclose(logits.numpy(), want, atol=2e-4)
    loss = CELoss(0.1)({"logits": logits}, {"label": paddle.to_tensor(y)})["ce"]
    assert float(loss) == pytest.approx(cross_entropy(want, y, 0.1), rel=1e-5)
    loss.backward()
    by_x = differences(lambda x: cross_entropy(reference(x, w, y, norms), y, 0.1), x)
    by_w = differences(lambda w: cross_entropy(reference(x, w, y, norms), y, 0.1), w)
    np.testing.assert_allclose(embedding.grad.numpy(), by_x, atol=2e-4 * max(1, np.abs(by_x).max()))
    np.testing.assert_allclose(head.kernel.grad.numpy(), by_w, atol=2e-4 * max(1, np.abs(by_w).max()))


def test_a_learned_factor_gets_its_gradient(rng):
    x, w, y = material(rng)
    head = NormFace(D, C, s=7, learn_s=True)
    CELoss()({"logits": head(ready(head, w, x), paddle.to_tensor(y))}, {"label": paddle.to_tensor(y)})["ce"].backward()
    want = differences(lambda s: cross_entropy(cosines(x, w) * s[0], y), np.array([7.0]))
    np.testing.assert_allclose(head.factor.grad.numpy(), want, atol=1e-5)


@pytest.mark.parametrize(("scaler", "formula"), [(-1, "arcface"), (0, "cosface"), (1, "negative angle")])
def test_adamargin_is_three_losses_at_the_ends_and_the_middle(scaler, formula, rng):
    x, w, y = material(rng)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) * (20 + scaler * 9)
    head = AdaMargin(D, C, m=0.4, s=64, h=0.5, t_alpha=0.0)
    head.batch_std.set_value(paddle.to_tensor([4.0]))
    logits = head(ready(head, w, x), paddle.to_tensor(y)).numpy()
    cosine = cosines(x, w, 1 - 1e-3)
    change = {
        "arcface": lambda t, i: math.cos(min(t + 0.4, math.pi - 1e-3)),
        "cosface": lambda t, i: math.cos(t) - 0.4,
        "negative angle": lambda t, i: math.cos(max(t - 0.4, 1e-3)) - 0.8,
    }[formula]
    np.testing.assert_allclose(logits, with_target(cosine, y, change, 64), atol=1e-3)


def test_adamargins_statistics_follow_training_alone(rng):
    x, w, y = material(rng)
    head = AdaMargin(D, C, t_alpha=0.1)
    embedding, label = ready(head, w, x), paddle.to_tensor(y)
    head(embedding, label)
    norms = np.clip(np.linalg.norm(x, axis=1), 1e-3, 100)
    assert head.batch_mean.item() == pytest.approx(norms.mean() * 0.1 + 0.9 * 20, rel=1e-5)
    assert head.batch_std.item() == pytest.approx(norms.std(ddof=1) * 0.1 + 0.9 * 100, rel=1e-5)
    before = {name: value.numpy().copy() for name, value in head.state_dict().items()}
    assert {name: value.shape for name, value in before.items() if name != "kernel"} == dict.fromkeys(
        ("t", "batch_mean", "batch_std"), (1,)
    )
    head.eval()
    head(embedding, label)
    head(embedding)
    for name, value in head.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_one_picture_moves_the_mean_and_leaves_the_deviation(rng):
    x, w, y = material(rng, rows=1)
    head = AdaMargin(D, C)
    assert np.isfinite(head(ready(head, w, x), paddle.to_tensor(y)).numpy()).all()
    assert head.batch_std.item() == 100 and head.batch_mean.item() != 20


def finite(head, x, y):
    embedding = x.astype("float32").copy()
    embedding = paddle.to_tensor(embedding)
    embedding.stop_gradient = False
    out = head(embedding, paddle.to_tensor(y))
    logits, label = out if isinstance(out, tuple) else (out, paddle.to_tensor(y))
    CELoss(0.1)({"logits": logits}, {"label": label})["ce"].backward()
    for value in (logits, embedding.grad, head.kernel.grad):
        assert np.isfinite(value.numpy()).all()
    return embedding.grad.numpy()


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled on:UserWarning")  # on CPUs
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_nothing_is_infinite_at_the_edges(name, autocast, rng):
    make, _ = HEADS[name]
    with paddle.amp.auto_cast(enable=autocast, dtype="bfloat16"):
        head = make()
        centres = head.kernel.numpy().T
        y = np.arange(C)
        finite(head, centres * 3, y)  # cos = 1
        finite(head, -centres, y)  # cos = -1
        finite(head, centres[:1], y[:1])  # one sample
        gradient = finite(head, np.vstack([np.zeros(D), centres[1]]), y[:2])  # no direction
        assert name == "softmax" or not gradient[0].any()
        finite(head, np.vstack([np.full(D, 1e-20), np.full(D, 1e15)]), y[:2])
        one = type(head)(D, 1)
        finite(one, rng.normal(size=(3, D)), np.zeros(3, "int64"))
        one.kernel.set_value(paddle.zeros([D, 1]))
        finite(one, rng.normal(size=(3, D)), np.zeros(3, "int64"))


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_embeddings_are_scored_in_float32(name, rng):
    x, w, y = material(rng)
    head = HEADS[name][0]()
    logits = head(ready(head, w, x).astype("bfloat16"), paddle.to_tensor(y))
    assert logits.dtype == paddle.float32


@pytest.mark.parametrize("name", HEADS)
def test_without_a_label_there_are_embedding_and_norm(name, rng):
    x, _, _ = material(rng)
    outputs = HEADS[name][0]()(paddle.to_tensor(x.astype("float32")))
    assert set(outputs) == {"embedding", "norm"} and outputs["norm"].shape == [N, 1]
    np.testing.assert_allclose(outputs["norm"].numpy()[:, 0], np.linalg.norm(x, axis=1), rtol=1e-6)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.array([0, 12]), "expected labels in 0..8 (class_num=9), received 12"),
        (np.array([-1, 0]), "expected labels in 0..8 (class_num=9), received -1"),
        (np.array([0]), "expected a label for each of the 2 rows, received 1"),
        (np.array([0, 1, 2]), "expected a label for each of the 2 rows, received 3"),
        (np.array([0, 1.5], "float32"), "expected integers as labels, received float32"),
    ],
)
def test_labels_that_are_none_are_named(name, label, message):
    head = HEADS[name][0]()
    with pytest.raises(DataError) as error:
        head(paddle.ones([2, D]), paddle.to_tensor(label))
    assert str(error.value) == f"{type(head).__name__}: {message}"


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_labels_may_be_a_column_of_any_integers(dtype):
    head, x = ArcMargin(D, C), paddle.ones([2, D])
    label = paddle.to_tensor([[3], [8]], dtype)
    logits = head(x, label)
    np.testing.assert_array_equal(logits.numpy(), head(x, paddle.to_tensor([3, 8])).numpy())
    losses = [CELoss()({"logits": logits}, {"label": given})["ce"].item() for given in (label, label.flatten().astype("int64"))]
    assert losses[0] == losses[1] > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CosMargin(0, 2), "CosMargin: expected embedding_size and class_num of at least 1, received 0 and 2"),
        (lambda: CosMargin(4, 2, in_channels=[8]), "CosMargin: expected embedding_size=8, that of the backbone, received 4"),
        (lambda: NormFace(4, 2, s=0), "NormFace: expected s > 0, received s=0"),
        (lambda: ArcMargin(4, 2, m=4.0), "ArcMargin: expected m in 0..pi, received m=4.0"),
        (lambda: ArcMargin(4, 2, beyond="cut"), "ArcMargin: expected beyond to be linear, clip or none, received 'cut'"),
        (lambda: ArcMargin(4, 2, sample_ratio=0), "ArcMargin: expected sample_ratio above 0 and at most 1, received sample_ratio=0"),
        (lambda: AdaMargin(4, 2, h=0), "AdaMargin: expected h > 0 and t_alpha in 0..1, received h=0, t_alpha=0.01"),
        (lambda: CombinedMargin(4, 2, m1=0), "CombinedMargin: expected m1 > 0, received m1=0"),
        (lambda: Softmax(4, 0), "Softmax: expected embedding_size and class_num of at least 1, received 4 and 0"),
        (lambda: CELoss(2), "CELoss: expected label_smoothing in 0..1, received label_smoothing=2"),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
