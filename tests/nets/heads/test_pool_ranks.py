"""Two processes that share a batch keep the pool, the gallery, the losses and the weights of one."""

import sys
from pathlib import Path

import numpy as np

from ppface.engine import devices

SCRIPT = Path(__file__).with_name("pools_on_ranks.py")


def test_two_processes_train_as_one_with_the_same_pool(tmp_path, run_tool):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert run_tool(SCRIPT, tmp_path / "one", fresh=True).returncode == 0
    assert devices.launch([sys.executable, str(SCRIPT), str(tmp_path / "two")], 2) == 0
    one, two = (np.load(tmp_path / name / "found.npz") for name in ("one", "two"))
    assert set(one.files) == set(two.files) and "weights.safetensors:head.gallery.linear.weight" in one.files
    for key in one.files:
        if key.startswith(("planes", "slots")):
            np.testing.assert_array_equal(two[key][0], two[key][1], err_msg=key)
            np.testing.assert_allclose(two[key][0], one[key][0], rtol=1e-5, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_allclose(two[key], one[key], rtol=1e-5, atol=1e-5, err_msg=key)
    assert len({one[f"slots{step}"].tobytes() for step in range(4)}) == 4
