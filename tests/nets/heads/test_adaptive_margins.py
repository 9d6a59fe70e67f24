"""L-Softmax, SphereFace, MagFace, CurricularFace and circle loss by hand in NumPy, over successive steps, and at the edges."""

import math

import numpy as np
import paddle
import pytest

from ppface.core.errors import DataError, UserError
from ppface.losses import CELoss, CircleLoss, MagnitudeLoss
from ppface.nets.heads import CircleMargin, CurricularMargin, LargeMargin, MagMargin, SphereMargin
from tests.nets.heads.test_margins import cosines, cross_entropy, differences, material, ready

N, D, C = 6, 5, 9


def psi(theta: float, m: int) -> float:
    k = min(math.floor(m * theta / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def blended(x, w, y, step, m, base, gamma, power, least, unit_centres):
    weight = max(least, base * (1 + gamma * step) ** -power)
    lengths = np.ones(C) if unit_centres else np.linalg.norm(w, axis=0)
    scale = np.linalg.norm(x, axis=1)[:, None] * lengths
    cosine = cosines(x, w)
    for i, j in enumerate(y):
        cosine[i, j] = (weight * cosine[i, j] + psi(math.acos(cosine[i, j]), m)) / (1 + weight)
    return cosine * scale


def circle(x, w, y, fixed, m=0.25, gamma=256.0):
    """`fixed` cosines give the factors, which have no gradient."""
    cosine, out = cosines(x, w), np.zeros((len(x), C))
    for i in range(len(x)):
        for j in range(C):
            if j == y[i]:
                out[i, j] = gamma * max(1 + m - fixed[i, j], 0) * (cosine[i, j] - (1 - m))
            else:
                out[i, j] = gamma * max(fixed[i, j] + m, 0) * (cosine[i, j] - m)
    return out


def curricular(x, w, y, t, m=0.5, s=64.0):
    cosine = cosines(x, w)
    out = cosine.copy()
    for i, j in enumerate(y):
        theta = math.acos(cosine[i, j])
        for other in range(C):
            if other != j and cosine[i, other] > math.cos(theta + m):
                out[i, other] = cosine[i, other] * (t + cosine[i, other])
        out[i, j] = math.cos(theta + m) if cosine[i, j] > math.cos(math.pi - m) else cosine[i, j] - m * math.sin(math.pi - m)
    return s * out


def magnitude(x, l_a=10.0, u_a=110.0):
    return np.clip(np.linalg.norm(x, axis=1), l_a, u_a)


def mag(x, w, y, easy, s=64.0):
    cosine, a = cosines(x, w), magnitude(x)
    for i, j in enumerate(y):
        m = 0.45 + 0.35 * (a[i] - 10) / 100
        theta = math.acos(cosine[i, j])
        if easy:
            cosine[i, j] = math.cos(theta + m) if cosine[i, j] > 0 else cosine[i, j]
        else:
            cosine[i, j] = math.cos(theta + m) if theta + m < math.pi else cosine[i, j] - m * math.sin(m)
    return s * cosine


def steps_of(head, reference, rng, after=lambda step, x, w, y: None):
    """Three steps in training: logits, loss and gradients against a reference (x, w, y, step)."""
    for step in range(1, 4):
        x, w, y = material(rng)
        embedding = ready(head, w, x)
        head.kernel.clear_gradient()
        out = head(embedding, paddle.to_tensor(y))
        logits = out["logits"] if isinstance(out, dict) else out
        np.testing.assert_allclose(logits.numpy(), reference(x, w, y, step), atol=3e-4)
        CELoss()({"logits": logits}, {"label": paddle.to_tensor(y)})["ce"].backward()
        by_x = differences(lambda x, w=w, y=y, step=step: cross_entropy(reference(x, w, y, step), y), x)
        by_w = differences(lambda w, x=x, y=y, step=step: cross_entropy(reference(x, w, y, step), y), w)
        np.testing.assert_allclose(embedding.grad.numpy(), by_x, atol=3e-4 * max(1, np.abs(by_x).max()))
        np.testing.assert_allclose(head.kernel.grad.numpy(), by_w, atol=3e-4 * max(1, np.abs(by_w).max()))
        after(step, x, w, y)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_large_margin_follows_its_equations_over_three_steps(m, rng):
    head = LargeMargin(D, C, m=m, base=10, gamma=0.5, power=2, lambda_min=0.1)
    steps_of(head, lambda x, w, y, step: blended(x, w, y, step, m, 10, 0.5, 2, 0.1, False), rng)
    assert head.iteration.item() == 3


def test_sphere_margin_follows_its_equations_over_three_steps(rng):
    head = SphereMargin(D, C, base=1000, gamma=100, lambda_min=4)
    steps_of(head, lambda x, w, y, step: blended(x, w, y, step, 4, 1000, 100, 1, 4, True), rng)


def test_the_multiplied_angle_falls_without_a_jump():
    theta = np.linspace(0, math.pi, 2001)
    for m in (2, 3, 4):
        values = LargeMargin(D, C, m=m).psi(paddle.to_tensor(np.cos(theta).astype("float32"))).numpy()
        np.testing.assert_allclose(values, [psi(t, m) for t in theta], atol=2e-3)  # cos of a small angle in float32
        assert (np.diff(values) < 1e-4).all() and values[0] == 1 and values[-1] == 1 - 2 * m


def test_evaluation_does_not_count_as_an_iteration(rng):
    x, w, y = material(rng)
    head = SphereMargin(D, C)
    head.eval()
    head(ready(head, w, x), paddle.to_tensor(y))
    assert head.iteration.item() == 0 and "iteration" in head.state_dict()


def test_circle_margin_follows_its_equations(rng):
    for _ in range(2):
        x, w, y = material(rng)
        head = CircleMargin(D, C)
        embedding, fixed = ready(head, w, x), cosines(x, w)
        logits = head(embedding, paddle.to_tensor(y))
        np.testing.assert_allclose(logits.numpy(), circle(x, w, y, fixed), atol=1e-3)
        CELoss()({"logits": logits}, {"label": paddle.to_tensor(y)})["ce"].backward()
        by_x = differences(lambda x, w=w, y=y, fixed=fixed: cross_entropy(circle(x, w, y, fixed), y), x)
        np.testing.assert_allclose(embedding.grad.numpy(), by_x, atol=1e-3 * max(1, np.abs(by_x).max()))


def test_curricular_margin_follows_its_equations_over_three_steps(rng):
    head, t = CurricularMargin(D, C), [0.0]

    def reference(x, w, y, step):
        return curricular(x, w, y, t[step])

    def moved(x, w, y):
        t.append(0.01 * float(np.mean([cosines(x, w)[i, j] for i, j in enumerate(y)])) + 0.99 * t[-1])

    state = rng.bit_generator.state
    for _ in range(3):
        moved(*material(rng))  # t of each step, as the step uses the value that it has just changed
    rng.bit_generator.state = state
    head.t.set_value(paddle.zeros([1]))
    steps_of(head, reference, rng, lambda step, x, w, y: np.testing.assert_allclose(head.t.numpy(), t[step], atol=1e-6))


def test_t_stays_in_evaluation(rng):
    x, w, y = material(rng)
    head = CurricularMargin(D, C)
    head.t.set_value(paddle.to_tensor([0.3]))
    head.eval()
    logits = head(ready(head, w, x), paddle.to_tensor(y))
    np.testing.assert_allclose(logits.numpy(), curricular(x, w, y, 0.3), atol=3e-4)
    assert head.t.item() == pytest.approx(0.3)


@pytest.mark.parametrize("easy", [True, False])
def test_mag_margin_learns_through_the_norm(easy, rng):
    steps_of(MagMargin(D, C, easy_margin=easy), lambda x, w, y, step: mag(x, w, y, easy), rng)


def test_magnitudes_are_clipped_and_have_a_gradient_inside(rng):
    x = rng.normal(size=(3, D))
    x *= np.array([[5.0], [50.0], [500.0]]) / np.linalg.norm(x, axis=1, keepdims=True)
    head, loss = MagMargin(D, C), MagnitudeLoss()
    embedding = ready(head, rng.normal(size=(D, C)), x)
    out = head(embedding, paddle.to_tensor([0, 1, 2]))
    assert set(out) == {"logits", "magnitude", "magnitude_bound"}
    np.testing.assert_allclose(out["magnitude"].numpy(), [10, 50, 110], rtol=1e-5)
    value = loss(out, {})["magnitude"]
    assert float(value) == pytest.approx(35 * np.mean([a / 110**2 + 1 / a for a in (10, 50, 110)]), rel=1e-6)
    value.backward()
    want = np.zeros((3, D))
    want[1] = 35 / 3 * (1 / 110**2 - 1 / 50**2) * x[1] / 50
    np.testing.assert_allclose(embedding.grad.numpy(), want, atol=1e-7)


def test_a_weight_below_the_bound_is_reported_once(rng, caplog):
    x, w, y = material(rng)
    head, loss = MagMargin(D, C), MagnitudeLoss(weight=20)
    assert head.bound == pytest.approx(22.587, abs=1e-3)  # 64 * 0.0035 * 110^2 * 10^2 / (110^2 - 10^2)
    with caplog.at_level("WARNING"):
        for _ in range(2):
            loss(head(ready(head, w, x), paddle.to_tensor(y)), {})
    message = (
        "MagnitudeLoss: weight=20 is below 22.59, the bound of MagFace for the head's s, l_a, u_a, l_m and u_m: norms may have no optimum"
    )
    assert [record.getMessage() for record in caplog.records] == [message]


HEADS = {
    "large": lambda **k: LargeMargin(D, C, base=1, **k),
    "sphere": lambda **k: SphereMargin(D, C, base=1, lambda_min=0, **k),
    "mag": lambda **k: MagMargin(D, C, **k),
    "mag_hard": lambda **k: MagMargin(D, C, easy_margin=False, **k),
    "curricular": lambda **k: CurricularMargin(D, C, **k),
    "circle": lambda **k: CircleMargin(D, C, **k),
}


def finite(head, x, y):
    embedding = paddle.to_tensor(np.array(x, "float32"))
    embedding.stop_gradient = False
    outputs = head.outputs(embedding, paddle.to_tensor(np.array(y)))
    losses = [*CELoss()(outputs, {"label": paddle.to_tensor(np.array(y))}).values()]
    if "magnitude" in outputs:
        losses += MagnitudeLoss()(outputs, {}).values()
    sum(losses).backward()
    for value in (outputs["logits"], embedding.grad, head.kernel.grad):
        assert np.isfinite(value.numpy()).all()
    return embedding.grad.numpy()


@pytest.mark.filterwarnings("ignore:amp_guard can only be enabled on:UserWarning")  # on CPUs
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_nothing_is_infinite_at_the_edges(name, autocast, rng):
    with paddle.amp.auto_cast(enable=autocast, dtype="bfloat16"):
        head = HEADS[name]()
        centres = head.kernel.numpy().T
        y = np.arange(C)
        finite(head, centres * 30, y)  # cos = 1
        finite(head, -centres, y)  # cos = -1
        finite(head, centres[:1], y[:1])  # one sample
        without_direction = finite(head, np.vstack([np.zeros(D), centres[1]]), y[:2])[0]
        assert without_direction.any() == (name in ("large", "sphere"))  # whose other logits are linear
        finite(head, np.vstack([np.full(D, 1e-20), np.full(D, 1e15)]), y[:2])
        one = type(head)(D, 1)
        finite(one, rng.normal(size=(3, D)), np.zeros(3, "int64"))
        one.kernel.set_value(paddle.zeros([D, 1]))
        finite(one, rng.normal(size=(3, D)), np.zeros(3, "int64"))


@pytest.mark.parametrize("name", HEADS)
def test_sampled_centres_give_the_columns_of_the_whole(name, rng):
    x, w, _ = material(rng)
    y = rng.integers(0, 2, N)
    whole, sampled = HEADS[name](), HEADS[name](sample_ratio=0.5)
    full = whole.outputs(ready(whole, w, x), paddle.to_tensor(y))
    part = sampled.outputs(ready(sampled, w, x), paddle.to_tensor(y))
    label = part["label"].numpy()
    assert part["logits"].shape[1] == C // 2
    np.testing.assert_allclose(part["logits"].numpy()[range(N), label], full["logits"].numpy()[range(N), y], atol=1e-4)
    for column in part["logits"].numpy().T:  # each is one of the whole's, targets and all
        assert (np.abs(full["logits"].numpy().T - column).max(axis=1) < 1e-4).any()


@pytest.mark.parametrize("name", HEADS)
def test_without_a_label_there_are_embedding_and_norm(name, rng):
    x, _, _ = material(rng)
    outputs = HEADS[name]()(paddle.to_tensor(x.astype("float32")))
    assert set(outputs) == {"embedding", "norm", "quality"} if name.startswith("mag") else {"embedding", "norm"}
    np.testing.assert_allclose(outputs.get("quality", outputs["norm"][:, 0]).numpy(), np.linalg.norm(x, axis=1), rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_labels_out_of_range_are_named(name):
    head = HEADS[name]()
    with pytest.raises(DataError) as error:
        head(paddle.ones([2, D]), paddle.to_tensor([0, 12]))
    assert str(error.value) == f"{type(head).__name__}: expected labels in 0..8 (class_num=9), received 12"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LargeMargin(4, 2, m=0),
            "LargeMargin: expected a whole m of at least 1, and base, gamma, power and lambda_min of at least 0, "
            "received m=0, base=1000.0, gamma=2.5e-05, power=35.0, lambda_min=0.0",
        ),
        (
            lambda: LargeMargin(4, 2, m=2.5),
            "LargeMargin: expected a whole m of at least 1, and base, gamma, power and lambda_min of at least 0, "
            "received m=2.5, base=1000.0, gamma=2.5e-05, power=35.0, lambda_min=0.0",
        ),
        (
            lambda: SphereMargin(4, 2, gamma=-1),
            "SphereMargin: expected a whole m of at least 1, and base, gamma, power and lambda_min of at least 0, "
            "received m=4, base=1000.0, gamma=-1, power=1.0, lambda_min=5.0",
        ),
        (
            lambda: MagMargin(4, 2, l_a=0),
            "MagMargin: expected 0 < l_a < u_a and 0 <= l_m <= u_m <= pi, received l_a=0, u_a=110.0, l_m=0.45, u_m=0.8",
        ),
        (lambda: CurricularMargin(4, 2, m=4.0), "CurricularMargin: expected m in 0..pi, received m=4.0"),
        (lambda: CircleMargin(4, 2, gamma=0), "CircleMargin: expected m in 0..1 and gamma > 0, received m=0.25, gamma=0"),
        (lambda: CircleLoss(m=2), "CircleLoss: expected m in 0..1, gamma > 0 and weight >= 0, received m=2, gamma=256.0, weight=1.0"),
        (lambda: MagnitudeLoss(u_a=0), "MagnitudeLoss: expected weight >= 0 and u_a > 0, received weight=35.0, u_a=0"),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_a_head_without_magnitudes_is_named():
    with pytest.raises(UserError, match=r"set model.head=\{name: MagMargin\}"):
        MagnitudeLoss()({"logits": None}, {})
