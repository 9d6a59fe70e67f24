"""Heads with state of their own: a run that was stopped and resumed gives the bytes of one that was not."""

import numpy as np
import paddle
import pytest

from ppface.engine import checkpoint
from ppface.engine.step import Step
from ppface.losses import CELoss
from ppface.nets.heads import CurricularMargin, LargeMargin, SphereMargin
from ppface.optim import Momentum

N, D, C = 6, 5, 9
STATEFUL = {  # name -> (the head, its buffer)
    "large": (lambda: LargeMargin(D, C, base=10, gamma=0.1, power=2), "iteration"),
    "sphere": (lambda: SphereMargin(D, C, base=10), "iteration"),
    "sphere_sampled": (lambda: SphereMargin(D, C, base=10, sample_ratio=0.7), "iteration"),
    "curricular": (lambda: CurricularMargin(D, C, s=8), "t"),
    "curricular_sampled": (lambda: CurricularMargin(D, C, s=8, sample_ratio=0.7), "t"),
}


def begin(make):
    paddle.seed(3)
    head = make()
    return head, Momentum(head.parameters(), 1, 1, 0.1)


def train(head, optimizer, steps) -> dict:
    for number in steps:
        rng = np.random.default_rng(number)
        paddle.seed(number)
        x, y = paddle.to_tensor(rng.normal(size=(N, D)).astype("float32")), paddle.to_tensor(rng.integers(0, C, N))
        CELoss()(head.outputs(x, y), {"label": y})["ce"].backward()
        optimizer.step()
        optimizer.clear_grad()
    return checkpoint.remember(Step(head, []), optimizer, None)


@pytest.mark.parametrize("name", STATEFUL)
def test_a_resumed_run_gives_the_bytes_of_an_uninterrupted_one(name):
    make, buffer = STATEFUL[name]
    whole, saved = train(*begin(make), range(6)), train(*begin(make), range(3))
    assert saved["weights.safetensors"][buffer].any()
    head, optimizer = begin(make)
    checkpoint.put(head.state_dict(), saved["weights.safetensors"], "weights")
    checkpoint.put(checkpoint.optimizer_tensors(optimizer, Step(head, [])), saved["optimizer.safetensors"], "optimizer")
    resumed = train(head, optimizer, range(3, 6))
    for file, arrays in whole.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, resumed[file][key], err_msg=key)


@pytest.mark.parametrize("name", ["large", "curricular"])
def test_without_its_buffer_a_resumed_run_would_differ(name):
    make, buffer = STATEFUL[name]
    whole, saved = train(*begin(make), range(6)), train(*begin(make), range(3))
    head, optimizer = begin(make)
    fresh = head.state_dict()[buffer].numpy().copy()
    checkpoint.put(head.state_dict(), saved["weights.safetensors"] | {buffer: fresh}, "weights")
    checkpoint.put(checkpoint.optimizer_tensors(optimizer, Step(head, [])), saved["optimizer.safetensors"], "optimizer")
    resumed = train(head, optimizer, range(3, 6))
    assert not np.array_equal(whole["weights.safetensors"]["kernel"], resumed["weights.safetensors"]["kernel"])
