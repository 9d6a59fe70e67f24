"""Sampled class centres: which are drawn, that only they move, and that a run stopped and resumed does not notice."""

import numpy as np
import paddle
import pytest

from ppface.engine import checkpoint
from ppface.engine.step import Step
from ppface.losses import CELoss
from ppface.nets.heads import AdaMargin, ArcMargin, CombinedMargin, CosMargin, NormFace
from ppface.ops.column_access import put, take
from ppface.ops.sampling import sample_classes
from ppface.optim import SGD, Adam, AdamW, Momentum, RMSProp

D, C = 6, 40


@pytest.mark.parametrize(
    ("positives", "ratio", "count"),
    [
        ([3, 3, 0, 39], 0.25, 10),
        ([1, 2, 3, 4, 5], 0.1, 5),
        ([7], 0.1, 4),
        ([7], 0.001, 1),
        ([], 0.001, 1),
        ([0, 39], 1.0, 40),
        ([5], 0.5, 20),
    ],
)
def test_all_positives_and_others_up_to_the_ratio(positives, ratio, count, rng):
    columns = sample_classes(np.array(positives, "int64"), C, ratio, rng)
    assert len(columns) == count and (np.diff(columns) > 0).all() and set(positives) <= set(columns.tolist())
    assert columns.min() >= 0 and columns.max() < C


def test_negatives_are_drawn_evenly(rng):
    counts = np.zeros(10)
    for _ in range(4000):
        counts[sample_classes(np.array([2, 3, 9]), 10, 0.5, rng)] += 1
    assert (counts[[2, 3, 9]] == 4000).all()
    others = np.delete(counts, [2, 3, 9]) / 4000
    np.testing.assert_allclose(others, 2 / 7, atol=0.035)


def test_columns_are_taken_and_put(rng):
    matrix = rng.normal(size=(5, 9)).astype("float32")
    tensor, columns = paddle.to_tensor(matrix), np.array([0, 3, 8])
    part = take(tensor, paddle.to_tensor(columns))
    np.testing.assert_array_equal(part.numpy(), matrix[:, columns])
    put(tensor, paddle.to_tensor(columns), part * 2)
    matrix[:, columns] *= 2
    np.testing.assert_array_equal(tensor.numpy(), matrix)


@pytest.mark.parametrize("cls", [AdaMargin, ArcMargin, CosMargin, CombinedMargin, NormFace])
def test_the_logits_are_those_of_the_sampled_columns(cls, rng):
    paddle.seed(5)
    sampled, full = cls(D, C, sample_ratio=0.3), cls(D, C)
    full.kernel.set_value(sampled.kernel)
    x, y = paddle.to_tensor(rng.normal(size=(4, D)).astype("float32")), paddle.to_tensor([0, 7, 7, 39])
    logits, label = sampled(x, y)
    everything = full(x, y).numpy()
    assert logits.shape == [4, 12]
    np.testing.assert_allclose(logits.numpy()[np.arange(4), label.numpy()], everything[np.arange(4), y.numpy()], rtol=1e-5)
    for i in range(4):
        assert all(np.abs(everything[i] - value).min() < 1e-4 for value in logits.numpy()[i])
    again = sampled(x, y)[0].numpy()
    assert not np.array_equal(again, logits.numpy())
    paddle.seed(5)
    cls(D, C, sample_ratio=0.3)


def test_the_draw_follows_the_seed(rng):
    head, x, y = CosMargin(D, C, sample_ratio=0.3), paddle.ones([2, D]), paddle.to_tensor([1, 2])
    draws = []
    for seed in (1, 1, 2):
        paddle.seed(seed)
        draws.append(head(x, y)[0].numpy())
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


OPTIMIZERS = {
    "sgd": lambda p: SGD(p, 1, 1, 0.1, weight_decay=0.05),
    "momentum": lambda p: Momentum(p, 1, 1, 0.1, weight_decay=0.05),
    "nesterov": lambda p: Momentum(p, 1, 1, 0.1, nesterov=True, clip_norm=1.0),
    "rmsprop": lambda p: RMSProp(p, 1, 1, 0.01, momentum=0.5),
    "adam": lambda p: Adam(p, 1, 1, 0.01, weight_decay=0.05),
    "adamw": lambda p: AdamW(p, 1, 1, 0.01),
}


class Columns:
    """Stands for the rule "each sampled column is a parameter of its own": one small optimizer a column of Paddle's kind."""

    def __init__(self, make, kernel):
        self.columns = [paddle.create_parameter([D, 1], "float32") for _ in range(C)]
        for i, column in enumerate(self.columns):
            column.set_value(kernel[:, i : i + 1])
        self.optimizer = make(self.columns)

    def step(self, grads):
        for i, grad in grads.items():
            self.columns[i].grad = paddle.to_tensor(grad)
        self.optimizer.step()
        self.optimizer.clear_grad(set_to_zero=False)

    def numpy(self):
        return np.concatenate([column.numpy() for column in self.columns], axis=1)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("adam", "adamw")])
def test_only_sampled_columns_move_with_a_momentum_and_decay_of_their_own(name, accumulate, rng):
    head = ArcMargin(D, C, sample_ratio=0.2)
    optimizer, reference = OPTIMIZERS[name](head.parameters()), Columns(OPTIMIZERS[name], head.kernel.numpy())
    for _ in range(5):
        before, grads = head.kernel.numpy().copy(), {}
        for _ in range(accumulate):
            x, y = paddle.to_tensor(rng.normal(size=(3, D)).astype("float32")), paddle.to_tensor(rng.integers(0, C, 3))
            logits, label = head(x, y)
            CELoss()({"logits": logits, "label": label}, {})["ce"].backward()
            part = optimizer._parts[-1]
            for place, column in enumerate(part.columns.tolist()):
                grads[column] = grads.get(column, 0) + part.values.grad.numpy()[:, place : place + 1]
        assert head.kernel.grad is None
        optimizer.step()
        optimizer.clear_grad()
        reference.step(grads)
        moved = (head.kernel.numpy() != before).any(axis=0)
        assert set(np.flatnonzero(moved)) <= set(grads) and moved.any()
        np.testing.assert_allclose(head.kernel.numpy(), reference.numpy(), atol=1e-5)
    assert len(optimizer._parameter_list) == 1 and not optimizer._parts
    assert all(len(table) == 1 for table in optimizer._accumulators.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_stopped_and_resumed_gives_the_bytes_of_one_never_stopped(name):
    def begin():
        paddle.seed(3)
        head = CosMargin(D, C, sample_ratio=0.2)
        return head, OPTIMIZERS[name](head.parameters())

    def steps(head, optimizer, numbers):
        for number in numbers:
            rng = np.random.default_rng(number)
            paddle.seed(number)
            x, y = paddle.to_tensor(rng.normal(size=(3, D)).astype("float32")), paddle.to_tensor(rng.integers(0, C, 3))
            logits, label = head(x, y)
            CELoss()({"logits": logits, "label": label}, {})["ce"].backward()
            optimizer.step()
            optimizer.clear_grad()
        return checkpoint.remember(Step(head, []), optimizer, None)

    whole = steps(*begin(), range(6))
    saved = steps(*begin(), range(3))
    head, optimizer = begin()
    checkpoint.put(head.state_dict(), saved["weights.safetensors"], "weights")
    checkpoint.put(checkpoint.optimizer_tensors(optimizer, Step(head, [])), saved["optimizer.safetensors"], "optimizer")
    parts = steps(head, optimizer, range(3, 6))
    for file, arrays in whole.items():
        assert set(arrays) == set(parts[file]) and all(key.startswith("kernel") for key in arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, parts[file][key], err_msg=key)


def test_an_optimizer_of_paddles_own_gets_a_gradient_of_the_sampled_columns_alone(rng):
    head = CosMargin(D, C, sample_ratio=0.2)
    optimizer = paddle.optimizer.SGD(0.1, parameters=head.parameters())
    before = head.kernel.numpy().copy()
    logits, label = head(paddle.to_tensor(rng.normal(size=(3, D)).astype("float32")), paddle.to_tensor([1, 2, 3]))
    CELoss()({"logits": logits, "label": label}, {})["ce"].backward()
    optimizer.step()
    assert 3 <= (head.kernel.numpy() != before).any(axis=0).sum() <= 8


def test_that_another_optimizer_moves_what_was_not_sampled_is_told_once(rng, caplog):
    head = CosMargin(D, C, sample_ratio=0.25)
    x, y = paddle.to_tensor(rng.normal(size=(3, D)).astype("float32")), paddle.to_tensor([1, 2, 3])
    optimizer = paddle.optimizer.Momentum(0.1, 0.9, parameters=head.parameters(), weight_decay=0.05)
    before = head.kernel.numpy().copy()
    with caplog.at_level("WARNING", "ppface"):
        head.eval()
        head(x, y)
        head.train()
        with paddle.no_grad():
            head(x, y)
        assert not caplog.messages
        for _ in range(2):
            logits, label = head(x, y)
            CELoss()({"logits": logits, "label": label}, {})["ce"].backward()
            optimizer.step()
            optimizer.clear_grad()
    assert (head.kernel.numpy() != before).all()  # what the warning is about
    assert caplog.messages == [
        "CosMargin: sample_ratio=0.25, but no optimizer of ppface.optim updates the class centres: momentum and weight decay of other "
        "optimizers also change centres that a step did not sample, and a step takes as long as without sampling; "
        "create a ppface.optim.SGD, Momentum, RMSProp, Adam or AdamW before the first step"
    ]


def test_our_own_optimizer_is_no_reason_for_a_warning(caplog):
    head = CosMargin(D, C, sample_ratio=0.2)
    optimizer = Momentum(head.parameters(), 1, 1, 0.1)
    with caplog.at_level("WARNING", "ppface"):
        head(paddle.ones([2, D]), paddle.to_tensor([1, 2]))
    assert not caplog.messages and len(optimizer._parts) == 1


def test_without_gradients_no_part_is_given_out():
    head = CosMargin(D, C, sample_ratio=0.2)
    optimizer = Momentum(head.parameters(), 1, 1, 0.1)
    with paddle.no_grad():
        assert head(paddle.ones([2, D]), paddle.to_tensor([1, 2]))[0].shape == [2, 8]
    assert not optimizer._parts and len(optimizer._parameter_list) == 1


def test_a_forward_without_a_step_leaves_nothing_behind():
    head = CosMargin(D, C, sample_ratio=0.2)
    optimizer = Momentum(head.parameters(), 1, 1, 0.1)
    before = head.kernel.numpy().copy()
    head(paddle.ones([2, D]), paddle.to_tensor([1, 2]))
    optimizer.step()
    head(paddle.ones([2, D]), paddle.to_tensor([1, 2]))
    optimizer.clear_grad()
    assert len(optimizer._parameter_list) == 1
    np.testing.assert_array_equal(head.kernel.numpy(), before)
    head.eval()
    assert head(paddle.ones([2, D]), paddle.to_tensor([1, 2]))[0].shape == [2, C]
