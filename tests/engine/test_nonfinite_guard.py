"""Losses and gradients that are not finite: told with their samples, skipped to the bit, rolled back, never saved."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppface.core.errors import NumericError
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.nonfinite_guard import MAX_BAD_STEPS
from tests.engine.toys import cross_entropy, files, trainer

ROOT = Path(__file__).resolve().parents[2]


class Fails:
    """Cross entropy that goes wrong in some calls: the loss itself, or its gradient alone."""

    def __init__(self, *calls: int, gradient: bool = False):
        self.calls, self.gradient, self.count = calls, gradient, 0

    def __call__(self, outputs, batch):
        self.count += 1
        loss = cross_entropy(outputs, batch)["ce"]
        if self.count not in self.calls:
            return {"ce": loss}
        if self.gradient:  # sqrt has the slope infinity at 0, where it is itself 0
            return {"ce": loss + paddle.sqrt(outputs["logits"].sum() * 0)}
        return {"ce": loss * float("nan")}


def state(one) -> dict[str, np.ndarray]:
    found = {name: value.numpy().copy() for name, value in one.model.state_dict().items()}
    found |= {name: table[key].numpy().copy() for name, table in one.optimizer._accumulators.items() for key in table}
    return found | {f"ema/{name}": value.numpy().copy() for name, value in (one.average.average if one.average else {}).items()}


@pytest.mark.parametrize("gradient", [False, True])
def test_a_run_ends_before_the_update_and_names_step_loss_and_samples(tmp_path, gradient):
    one = trainer(tmp_path, loss=Fails(2, gradient=gradient))
    with pytest.raises(NumericError) as caught:
        one.train()
    fault = "the gradient of linear.weight is not finite" if gradient else "loss 'ce' is nan"
    message = str(caught.value)
    assert message.startswith(f"step 2: {fault}")
    assert message.count("pixel-") == 4
    assert message.endswith("Training stopped before the update. Try a smaller learning rate or clip_norm")
    whole = trainer(tmp_path, iterations=1)
    whole.train()
    np.testing.assert_array_equal(one.model.linear.weight.numpy(), whole.model.linear.weight.numpy())


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_skipped_step_leaves_every_bit(tmp_path, caplog, gradient, accumulate):
    one = trainer(tmp_path, loss=Fails(2 * accumulate, gradient=gradient), nonfinite="skip", ema=0.9, iterations=3, accumulate=accumulate)
    states, begin = [], one.guard.begin

    def watched():
        states.append(state(one))
        begin()

    one.guard.begin = watched
    one.train()
    before, after = states[1:]
    assert {"norm._mean", "ema/norm._mean", "linear.weight"} < before.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    assert not np.array_equal(after["linear.weight"], one.model.linear.weight.numpy())
    assert (one.step, one.average.updates) == (3, 2)
    assert "(1 in a row): skipped" in caplog.text


def test_three_in_a_row_end_the_run_with_a_report_of_all(tmp_path):
    one = trainer(tmp_path, loss=Fails(2, 4, 5, 6), nonfinite="skip")
    with pytest.raises(NumericError) as caught:
        one.train()
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 4", "step 5", "step 6", f"{MAX_BAD_STEPS} steps in a row were not finite"]
    assert all("loss 'ce' is nan. Its batch: pixel-" in line for line in lines[:3])


def test_rolling_back_takes_the_last_checkpoint_and_goes_on_with_the_data(tmp_path, caplog):
    one = trainer(tmp_path, loss=Fails(6), nonfinite="rollback", save_steps=4, ema=0.9)
    states, begin = [], one.guard.begin

    def watched():
        states.append(state(one))
        begin()

    one.guard.begin = watched
    one.train()
    saved, moved, back = states[4:7]  # before steps 5, 6 and 7
    assert not np.array_equal(saved["linear.weight"], moved["linear.weight"])
    for name in saved:
        np.testing.assert_array_equal(saved[name], back[name], err_msg=name)
    assert (one.step, one.average.updates) == (8, 6)
    assert "step 6: loss 'ce' is nan" in caplog.text
    assert "rolling back" in caplog.text


def test_nothing_to_roll_back_to_ends_the_run(tmp_path):
    with pytest.raises(NumericError, match=r"(?s)step 1: loss 'ce' is nan.*There is nothing to roll back to: "):
        trainer(tmp_path, loss=Fails(1), nonfinite="rollback").train()


def test_a_run_with_a_skipped_step_resumes_to_the_same_bytes(tmp_path):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    trainer(tmp_path / "whole", loss=Fails(2), nonfinite="skip", ema=0.9).train()
    trainer(tmp_path / "parts", loss=Fails(2), nonfinite="skip", ema=0.9, iterations=4).train()
    resumed = trainer(tmp_path / "parts", nonfinite="skip", ema=0.9)
    resumed.resume(CheckpointFolder(tmp_path / "parts" / "checkpoints").find("last"))
    resumed.train()
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    for file, arrays in whole.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, parts[file][key], err_msg=f"{file} {key}")


def test_weights_that_overflowed_are_never_saved(tmp_path):
    one = trainer(tmp_path, iterations=1)
    one.model.linear.bias.set_value(paddle.to_tensor([float("inf"), 0.0]))
    one.guard.passes = lambda *_, **__: True
    with pytest.raises(NumericError, match=r"weights.safetensors"):
        one.train()
    assert not list((tmp_path / "checkpoints").glob("step_*"))


def test_two_processes_roll_back_together(tmp_path, run_tool):
    script = tmp_path / "two.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\nimport paddle\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.engine.toys as t\nfrom ppface.core.run import cli\nfrom ppface.data.loading.loader import Loader\n"
        "from ppface.engine import devices\nfrom ppface.engine.world import World\nfrom ppface.optim import Momentum\n"
        f"folder, calls = Path({str(tmp_path)!r}), []\n"
        "def loss(outputs, batch):\n"
        "    calls.append(1)\n"
        "    bad = len(calls) == 3 and os.environ['PADDLE_TRAINER_ID'] == '1'\n"
        "    return {'ce': t.cross_entropy(outputs, batch)['ce'] * (float('nan') if bad else 1)}\n"
        "def main():\n"
        "    if 'PADDLE_TRAINER_ID' not in os.environ: return devices.launch([sys.executable, __file__], 2)\n"
        "    world = World('cpu')\n"
        "    loader = Loader(t.Pixels(), [], batch_size=8, seed=3, rank=world.rank, world=world.size)\n"
        "    make = lambda **s: Momentum(learning_rate=0.1, **s)\n"
        "    os.chdir(folder / 'elsewhere' if world.rank else folder)\n"
        "    one = t.Trainer(t.step(t.Line(), loss), make, loader, [], world, folder, 0, iterations=4, save_every=2, nonfinite='rollback')\n"
        "    one.train()\n"
        "    print(float(one.model.linear.weight.abs().sum()), file=open(folder / f'{world.rank}.sum', 'w'))\n"
        "cli.run(main)\n"
    )
    (tmp_path / "elsewhere").mkdir()
    done = run_tool(script)
    assert done.returncode == 0, done.stderr
    assert "step 3: loss 'ce' is nan" in done.stderr
    assert "rolling back" in done.stderr
    assert (tmp_path / "0.sum").read_text() == (tmp_path / "1.sum").read_text()
