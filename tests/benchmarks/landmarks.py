"""Trains a small PFLD on a list of faces with 68 landmarks, exports it, and evaluates the exported model.

    python tests/benchmarks/landmarks.py DATA [OUT] [KEY=VALUE ...]

DATA: a folder with images/, train.txt and test.txt as `LandmarkList` reads them. OUT: where the run, the export and the cumulative curve are
kept; none keeps nothing. KEY=VALUE: further `-o` of configs/landmarks/pfld_68_small.yml. CPU time is that of all processes together: half of it
is the time of two cores that do nothing else.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "landmarks" / "pfld_68_small.yml"


def run(tool: str, *arguments: object) -> tuple[float, float]:
    """Runs a tool; returns seconds and CPU seconds."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, str(ROOT / "tools" / tool), *map(str, arguments)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    data, *rest = sys.argv[1:]
    out = [word for word in rest if "=" not in word]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(out[0] if out else temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        roots = [f"train.dataset.root={data}", f"evaluators.0.dataset.root={data}", f"evaluators.0.save_dir={folder / 'curves'}"]
        taken = run("train.py", "-c", CONFIG, "--folder", folder / "run", "-o", *roots, *(word for word in rest if "=" in word))
        log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
        measured = [line for line in log if "nme" in line]
        run("export_model.py", folder / "run", "--out", folder / "export")
        run("eval.py", folder / "export", "--json", folder / "exported.json")
        exported = json.loads((folder / "exported.json").read_text())["metrics"]
    for line in measured:
        print(f"step {line['step']}: nme {line['nme']:.4f}, failures {line['failures']:.4f}, auc {line['auc']:.4f}")
    print(f"exported: nme {exported['nme']:.4f}, failures {exported['failures']:.4f}, auc {exported['auc']:.4f}")
    print(f"training: {taken[0] / 60:.1f} minutes, {taken[1] / 60:.1f} CPU minutes, with evaluations")


if __name__ == "__main__":
    main()
