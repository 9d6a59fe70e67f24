"""Two processes that share the classes out give the loss, the gradients and the weights of one."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ppface.engine import devices

SCRIPT = Path(__file__).with_name("on_ranks.py")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, run_tool):
    """{processes: the folder of their results}."""
    made = {count: tmp_path_factory.mktemp(f"ranks{count}") for count in (1, 2)}
    done = run_tool(SCRIPT, made[1], fresh=True)
    assert done.returncode == 0, done.stderr
    assert devices.launch([sys.executable, str(SCRIPT), str(made[2])], 2) == 0
    return made


MARGINS = ["ada", "ada_replicated", "arc", "circle", "curricular", "curricular_replicated", "large", "mag", "norm", "sphere"]


@pytest.mark.parametrize("name", [*MARGINS, "norm_hard", "arc_sampled", "circle_sampled"])
def test_two_processes_train_as_one(name, folders):
    one, two = np.load(folders[1] / f"{name}.npz"), np.load(folders[2] / f"{name}.npz")
    assert set(one.files) == set(two.files) and "weights.safetensors:head.kernel" in one.files
    if name == "arc_sampled":
        assert "optimizer.safetensors:head.kernel/velocity_0" in one.files or "optimizer.safetensors:head.kernel/velocity" in one.files
    for key in one.files:
        assert one[key].shape == two[key].shape
        np.testing.assert_allclose(two[key], one[key], rtol=1e-5, atol=1e-5, err_msg=key)
