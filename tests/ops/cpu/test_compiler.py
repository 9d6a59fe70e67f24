"""Where compiled kernels are kept, what the log says of compiling, and that neither a missing cache nor two processes at once do harm."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ppface.ops.cpu import compiler

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import logging, sys
from pathlib import Path
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
from ppface.ops.cpu import compiler
import numba, numpy as np
before = numba.config.CACHE_DIR
kernels = compiler.load("standardize")
assert numba.config.CACHE_DIR == before
numbers, out = np.ones(1, np.float32), np.empty((1, 1, 4), np.float32)
kernels.standardize(np.full((1, 1, 4), 3, np.uint8), numbers, numbers, np.zeros(1, np.int64), out)
assert (out == 2).all(), out
"""
NORMALIZE = """
from ppface.ops.cpu import compiler
import hashlib, numpy as np
x = np.random.default_rng(0).standard_normal((16, 64, 1024)).astype(np.float32)
one, mean, variance, out = np.ones(64, np.float32), np.empty(64, np.float32), np.empty(64, np.float32), np.empty_like(x)
compiler.load("batch_norm_act").forward(x, one, one, one, np.float32(1e-5), mean, variance, out)
print(hashlib.sha256(mean.tobytes() + variance.tobytes() + out.tobytes()).hexdigest())
"""
SAYS = "compiling CPU kernels for standardize: takes some seconds, once per machine\n"


def start(program: str = PROGRAM, **environment) -> subprocess.Popen:
    known = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR")}
    known |= {"PYTHONPATH": str(ROOT)} | {name: str(value) for name, value in environment.items()}
    return subprocess.Popen([sys.executable, "-c", program], env=known, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def output(process: subprocess.Popen) -> str:
    told = process.communicate(timeout=120)[0]
    assert process.returncode == 0, told
    return told


@pytest.fixture
def below_a_file(tmp_path) -> Path:
    """A folder that nobody can make, not even root."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "folder"


def test_two_processes_compile_once_into_the_users_cache_folder(tmp_path):
    both = [start(XDG_CACHE_HOME=tmp_path, HOME=tmp_path / "home") for _ in range(2)]
    assert sorted(output(process) for process in both) == ["", SAYS]  # one of them waited for the other
    assert list((tmp_path / "ppface" / "numba").rglob("*.nbi")) and not (tmp_path / "home").exists()
    for file in tmp_path.rglob("*.nbc"):
        file.write_bytes(b"")  # as a crash may leave it
    damaged = output(start(XDG_CACHE_HOME=tmp_path))
    assert damaged.startswith(f"CPU kernels: cannot use the cache {tmp_path / 'ppface' / 'numba'} (") and damaged.endswith(SAYS)
    assert not list(tmp_path.rglob("*.nbc"))  # the next process writes it anew


def test_a_compiled_kernel_and_one_from_the_cache_give_the_same_bytes(tmp_path):
    compiled, cached = (output(start(NORMALIZE, XDG_CACHE_HOME=tmp_path)) for _ in range(2))
    assert list(tmp_path.rglob("*.nbi")) and compiled == cached


def test_a_home_that_cannot_be_written_leaves_a_private_temporary_folder(tmp_path, below_a_file):
    assert output(start(XDG_CACHE_HOME=below_a_file, TMPDIR=tmp_path)) == SAYS
    folder = tmp_path / f"ppface-numba-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700 and list(folder.rglob("*.nbi"))


def test_a_temporary_folder_that_others_can_write_is_not_trusted(tmp_path, below_a_file, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(below_a_file))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"ppface-numba-{os.getuid()}"
    assert compiler.cache_folder() == folder
    folder.chmod(0o777)
    assert compiler.cache_folder() is None
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert compiler.cache_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", str(below_a_file))
    assert compiler.cache_folder() is None


def test_the_users_own_choice_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert compiler.cache_folder() == tmp_path / "mine"
