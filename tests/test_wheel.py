"""What a wheel contains, and that it works outside the sources: the command, a config by its name, the programs of deploy/."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The folder that a wheel of these sources unpacks to."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_it_contains_package_configs_and_programs(wheel):
    expected = {f"ppface/{file}" for file in files(ROOT / "ppface")}
    for name in ("configs", "deploy"):
        expected |= {f"ppface/{name}/{file}" for file in files(ROOT / name)}
    assert files(wheel) == expected
    assert {"ppface/py.typed", "ppface/weights/builtin/weights.safetensors", "ppface/configs/weights/magface.yaml"} <= expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "--quiet", "quickstart/detection"], "quickstart/detection: valid\n"),
        (["infer", "--help"], "usage: ppface infer "),
        (["check", "--list"], "detection/aofd_drawn "),
    ],
    ids=["check", "infer", "list"],
)
def test_it_works_outside_the_sources(wheel, tmp_path, arguments, told):
    environment = os.environ | {"PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "ppface", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(told)
