"""tools/draw_meshes.py: pictures beside the meshes over their faces."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def test_each_picture_is_drawn_beside_its_meshes(tmp_path, run_tool):
    config = "configs/quickstart/dense.yml"
    state = {name: value.numpy() for name, value in build_model(load_config(ROOT / config)).state_dict().items()}
    state["head.dense.decoder.last.linear.weight"] += 1e-3
    save_file(state, tmp_path / "some.safetensors")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    picture = np.kron(np.random.default_rng(0).integers(0, 256, (8, 10, 3)), np.ones((12, 12, 1))).astype("uint8")
    for name in ("a.png", "a.jpg", "deep/b.png"):
        cv2.imwrite(str(tmp_path / "in" / name), picture)
    options = ["-c", config, "--weights", tmp_path / "some.safetensors", "--input", tmp_path / "in", "--out", tmp_path / "out"]
    done = run_tool("tools/draw_meshes.py", *options, "--threshold", 0.3)
    assert done.returncode == 0, done.stderr
    drawn = cv2.imread(str(tmp_path / "out" / "deep" / "b.png.jpg"))
    assert drawn.shape == (96, 360, 3) and sorted(path.name for path in (tmp_path / "out").glob("a*")) == ["a.jpg", "a.png.jpg"]
    assert np.abs(drawn[:, :120].astype(int) - drawn[:, 120:240]).mean() > 5  # surfaces cover something


@pytest.mark.parametrize("given", ["a.jpg", "."])
def test_pictures_are_not_overwritten(tmp_path, run_tool, given):
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    options = ["-c", "configs/quickstart/dense.yml", "--weights", "some.safetensors", "--input", tmp_path / given, "--out", tmp_path]
    done = run_tool("tools/draw_meshes.py", *options)
    assert done.returncode == DataError.exit_code
    assert done.stderr.splitlines()[-1].endswith(
        f"{tmp_path}: expected an output folder other than the input's, whose pictures would be overwritten"
    )
    assert (tmp_path / "a.jpg").read_bytes() == b"a picture"
