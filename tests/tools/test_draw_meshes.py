"""tools/draw_meshes.py: pictures beside the meshes over their faces."""

from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save_file

from ppface.core.config.spec import build_model, load_config

ROOT = Path(__file__).resolve().parents[2]


def test_each_picture_is_drawn_beside_its_meshes(tmp_path, run_tool):
    config = "configs/quickstart/dense.yml"
    state = {name: value.numpy() for name, value in build_model(load_config(ROOT / config)).state_dict().items()}
    state["head.dense.decoder.last.linear.weight"] += 1e-3
    save_file(state, tmp_path / "some.safetensors")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    picture = np.kron(np.random.default_rng(0).integers(0, 256, (8, 10, 3)), np.ones((12, 12, 1))).astype("uint8")
    for name in ("a.png", "deep/b.png"):
        cv2.imwrite(str(tmp_path / "in" / name), picture)
    options = ["-c", config, "--weights", tmp_path / "some.safetensors", "--input", tmp_path / "in", "--out", tmp_path / "out"]
    done = run_tool("tools/draw_meshes.py", *options, "--threshold", 0.3)
    assert done.returncode == 0, done.stderr
    drawn = cv2.imread(str(tmp_path / "out" / "deep" / "b.jpg"))
    assert drawn.shape == (96, 360, 3) and (tmp_path / "out" / "a.jpg").is_file()
    assert np.abs(drawn[:, :120].astype(int) - drawn[:, 120:240]).mean() > 5  # surfaces cover something
