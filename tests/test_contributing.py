"""CONTRIBUTING.md, followed to the letter in a copy of the package: its loss and its neck train."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = [textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", TEXT, re.M | re.S)]
FILES = {"ppface/losses/focal_loss.py": "FocalLoss", "ppface/nets/necks/same_width.py": "SameWidth"}


@pytest.fixture
def copy(tmp_path) -> Path:
    for folder in ("ppface", "configs", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert len(CODE) == len(FILES)
    for (file, name), code in zip(FILES.items(), CODE, strict=True):
        assert file in TEXT
        path = tmp_path / file
        path.write_text(code, encoding="utf-8")
        index = path.with_name("__init__.py")
        listed = index.read_text(encoding="utf-8").replace("__all__ = [", f'__all__ = ["{name}", ')
        line = f"from {'.'.join(Path(file).with_suffix('').parts)} import {name}"
        index.write_text(listed.replace("\n\n__all__", f"\n{line}\n\n__all__"), encoding="utf-8")
    return tmp_path


def test_the_loss_and_the_neck_train_as_they_stand(copy):
    command = [sys.executable, "tools/train.py", "-c", "configs/quickstart/detection.yml", "--folder", "run"]
    command += ["-o", "loss={name: FocalLoss, gamma: 1.5}", "model.neck={name: SameWidth, width: 32}"]
    command += ["trainer.epochs=null", "trainer.iterations=2", "evaluators=[]", "processes=1", "train.batch_size=4"]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "step 2/2 loc " in done.stdout + done.stderr, done.stdout + done.stderr


def test_the_loss_is_the_equation_in_its_docstring(copy):
    check = """
import numpy as np, paddle, ppface
from ppface.losses import FocalLoss
rng = np.random.default_rng(0)
logits, positive = rng.normal(size=(2, 6, 2)), rng.random((2, 6)) < 0.3
want = 0.0
for row, faces in zip(logits, positive):
    for (face, background), is_face in zip(row, faces):
        p = np.exp(face if is_face else background) / (np.exp(face) + np.exp(background))
        want -= (1 - p) ** 1.5 * np.log(p)
got = float(FocalLoss(gamma=1.5).conf(paddle.to_tensor(logits), positive))
assert positive.any() and abs(got - want / positive.sum()) < 1e-5, (got, want)
"""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", check], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
