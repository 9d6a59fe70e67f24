"""Builds a wheel (from an sdist), installs it into an empty environment outside the sources, and there trains both quickstarts for some
steps, exports and uses them. Needs the package registry and some minutes: python tests/faults/wheel.py, or make wheel-check."""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["trainer.epochs=null", "trainer.iterations=3", "train.batch_size=8", "train.dataset.{0}=16"]
PIP = ["-m", "pip", "--disable-pip-version-check"]


def run(folder: Path, *command: object) -> str:
    """What a command prints; the script ends if it fails."""
    print("$", *command, flush=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel of these sources, built from their sdist, so that it lacks what the sdist lacks."""
    run(folder, sys.executable, *PIP, "install", "--quiet", "--target", folder / "build", "build")
    code = f"import sys; sys.path.insert(0, {str(folder / 'build')!r}); import build.__main__ as b; b.main(sys.argv[1:])"
    run(folder, sys.executable, "-c", code, "--sdist", "--outdir", folder, ROOT)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "sdist", filter="data")
    run(folder, sys.executable, *PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, next((folder / "sdist").iterdir()))
    return next(folder.glob("*.whl"))


def walk(ppface: Path, folder: Path) -> None:
    """Both quickstarts through the installed command."""
    run(folder, ppface, "--version")
    print(run(folder, ppface, "doctor"))
    run(folder, ppface, "zoo", "list")
    run(folder, ppface, "completion", "bash")
    for task, length in (("detection", "length"), ("recognition", "identities")):
        options = [option.format(length) for option in SHORT]
        run(folder, ppface, "train", "-c", f"quickstart/{task}", "--folder", task, "-o", *options, "evaluators=[]")
        run(folder, ppface, "train", "--resume", task, "-o", "trainer.iterations=4")
        run(folder, ppface, "export", task, "--out", f"{task}_export")
    run(folder, ppface, "draw", "--out", "pictures", "--count", 2)
    run(folder, ppface, "infer", "detection_export", "--input", "pictures", "--output", "found")
    print(run(folder, ppface, "infer", "builtin", "--input", "pictures", "--output", "found_builtin"))
    run(folder, ppface, "draw", "--out", "people", "--people", 2, "--count", 2, "--size", 64, 64)
    first, second = folder / "people" / "0000" / "0000.jpg", folder / "people" / "0001" / "0000.jpg"
    print(run(folder, ppface, "infer", "recognition_export", "--threshold", 0.5, "--compare", first, second))


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, outside = Path(temporary), Path(temporary, "outside")
        wheel = build(folder)
        venv.create(folder / "venv", with_pip=True)
        run(folder, folder / "venv" / "bin" / "python", *PIP, "install", "--quiet", f"{wheel}[cpu]")
        outside.mkdir()
        walk(folder / "venv" / "bin" / "ppface", outside)
    print("the wheel works in an empty environment")


if __name__ == "__main__":
    main()
