"""Where compiled kernels are kept, and what happens without Numba."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppface.ops.cpu import compiled

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = (
    "import numpy as np, paddle, ppface\n"
    "from ppface.ops.cpu import compiled, prelu\n"
    "compiled.NOTICE_AFTER_S = 0.0\n"
    "print(prelu.prelu(paddle.to_tensor([[[-4.0, 2.0]]]), paddle.to_tensor([0.5])).numpy().tolist(), compiled.cache_folder())\n"
)


def run(**environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, env=os.environ | environment, check=True
    )
    return done.stdout.strip(), done.stderr


def test_kernels_are_kept_in_the_users_cache_folder(tmp_path):
    pytest.importorskip("numba", reason="the kernels need Numba")
    answer, said = run(XDG_CACHE_HOME=str(tmp_path))
    assert answer == f"[[[-2.0, 2.0]]] {tmp_path}/ppface/numba"
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "ppface" / "numba").rglob("*.nb*")}
    assert kept and f"once: they are kept in {tmp_path}/ppface/numba" in said
    assert run(XDG_CACHE_HOME=str(tmp_path))[0] == answer
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "ppface" / "numba").rglob("*.nb*")} == kept  # read, not written again


def test_a_home_that_cannot_be_written_is_no_error(tmp_path):
    pytest.importorskip("numba", reason="the kernels need Numba")
    (tmp_path / "file").write_text("")
    answer, said = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert answer == "[[[-2.0, 2.0]]] None"
    assert "in every process: the user's cache folder cannot be written" in said


def test_without_numba_one_line_says_what_is_lost(monkeypatch, caplog):
    from ppface.nets.layers.fast import DepthwiseConv2D, PReLU

    image = paddle.to_tensor(np.random.default_rng(0).normal(size=(1, 4, 9, 9)).astype("float32"))
    layers = DepthwiseConv2D(4, 3, 2), PReLU(4)
    want = [layer(image).numpy() for layer in layers]
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    compiled.available.cache_clear()
    try:
        for layer, expected in zip(layers, want, strict=True):
            np.testing.assert_allclose(layer(image).numpy(), expected, rtol=1e-5, atol=1e-6)
    finally:
        compiled.available.cache_clear()
    assert caplog.messages == ['training on CPUs is up to three times slower without Numba: pip install "ppface[cpu]"']
