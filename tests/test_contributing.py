"""CONTRIBUTING.md, followed to the letter in a copy of the package: its losses, its neck and its data set train."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = [textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", TEXT, re.M | re.S)]
FILES = {  # in the order of the text -> (component, the package that lists it)
    "ppface/losses/focal_loss.py": ("FocalLoss", "ppface/losses"),
    "ppface/losses/cosine_distillation.py": ("CosineDistillation", "ppface/losses"),
    "ppface/nets/necks/same_width.py": ("SameWidth", "ppface/nets/necks"),
    "ppface/data/detection/csv_faces.py": ("CsvFaces", "ppface/data"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    tmp_path = tmp_path_factory.mktemp("copy")
    for folder in ("ppface", "configs", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "numba.py").write_text("raise ImportError('it would compile all kernels anew for the copy')\n")
    assert len(CODE) == len(FILES)
    for (file, (name, package)), code in zip(FILES.items(), CODE, strict=True):
        assert file in TEXT
        path = tmp_path / file
        path.write_text(code, encoding="utf-8")
        index = tmp_path / package / "__init__.py"
        listed = index.read_text(encoding="utf-8").replace("__all__ = [", f'__all__ = ["{name}", ')
        line = f"from {'.'.join(Path(file).with_suffix('').parts)} import {name}"
        index.write_text(listed.replace("\n\n__all__", f"\n{line}\n\n__all__"), encoding="utf-8")
    return tmp_path


def train(copy: Path, config: str, folder: str, *options: str) -> str:
    command = [sys.executable, "tools/train.py", "-c", f"configs/quickstart/{config}.yml", "--folder", folder, "-o", *options]
    command += ["trainer.epochs=null", "trainer.iterations=2", "evaluators=[]", "processes=1", "train.batch_size=4"]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_loss_the_neck_and_the_data_set_train_as_they_stand(copy):
    rng = np.random.default_rng(0)
    (copy / "pictures").mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (128, 128, 3)).astype("uint8")).save(copy / "pictures" / f"{i}.png")
    (copy / "faces.csv").write_text("".join(f"{i}.png,{10 + i},20,{80 + i},90\n{i}.png,5,5,30,30\n" for i in range(8)))
    data = "train.dataset={name: CsvFaces, labels: faces.csv, images: pictures}"
    options = [
        "loss={name: FocalLoss, gamma: 1.5, overlap_threshold: 0.35}",
        "model.neck={name: SameWidth, width: 32}",
        "model.head.landmarks=0",
    ]
    assert "step 2/2 loc " in train(copy, "detection", "run", data, *options)


def test_the_loss_with_a_teacher_trains_as_it_stands(copy):
    people = ["train.dataset.identities=4", "train.dataset.images=4"]
    train(copy, "recognition", "teacher", *people)
    losses = "loss=[{name: CELoss}, {name: CosineDistillation, weight: 2, teacher: {source: teacher}}]"
    assert " distill " in train(copy, "recognition", "student", *people, losses)


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
