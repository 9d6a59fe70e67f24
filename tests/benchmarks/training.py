"""The default training command on all cores against one process: speed, share of time waiting for data, memory over 500 steps.

python tests/benchmarks/training.py            BlazeFace 128x128 of the paper, 32 images per step
python tests/benchmarks/training.py --memory   500 small steps in one process
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
_BASE_: [{root}/configs/_base_/runtime.yml, {root}/configs/_base_/blazeface_128.yml]
train:
  dataset: {{name: SyntheticFaces, length: 2000, size: [128, 128], landmarks: 0}}
  batch_size: {batch}
  transforms: [{{name: Flip}}, {{name: Resize, size: [128, 128]}}]
optimizer: {{name: Adam, learning_rate: 0.001}}
trainer: {{iterations: {steps}, log_every: {every}, save_every: 0, eval_every: 0}}
processes: {processes}
"""


def train(steps: int, batch: int, every: int, processes: str, watch: bool = False) -> tuple[list[dict], list[int]]:
    """(lines of the log, resident memory in kilobytes, once per second)."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "training.yml"
        config.write_text(CONFIG.format(root=ROOT, batch=batch, steps=steps, every=every, processes=processes))
        command = [sys.executable, str(ROOT / "tools" / "train.py"), "-c", str(config), "--folder", str(Path(folder) / "run")]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        memory = []
        while True:
            try:
                running.wait(1.0)
                break
            except subprocess.TimeoutExpired:
                if watch:
                    status = Path(f"/proc/{running.pid}/status").read_text()
                    memory.append(int(status.split("VmRSS:")[1].split()[0]))
        assert running.returncode == 0, "the training failed"
        log = (Path(folder) / "run" / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in log], memory


def speed(processes: str) -> tuple[float, float]:
    """(images per second, share of time waiting for data), medians over intervals of five steps, without the first."""
    lines = train(30, 32, 5, processes)[0][1:]
    return float(np.median([line["images_per_s"] for line in lines])), float(np.median([line["data_wait"] for line in lines]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="measure the memory over 500 steps instead")
    if parser.parse_args().memory:
        memory = train(500, 4, 100, "1", watch=True)[1]
        early, late = np.median(memory[len(memory) // 5 : 2 * len(memory) // 5]), np.median(memory[-len(memory) // 5 :])
        print(f"resident memory in the second fifth {early / 1024:.0f} MB, in the last {late / 1024:.0f} MB: ratio {late / early:.3f}")
        return
    rounds = [(speed("1"), speed("auto")) for _ in range(2)]
    one, all_cores = (np.array([turn[i] for turn in rounds]).max(axis=0) for i in (0, 1))
    print(f"one process   {one[0]:6.1f} images/s, {one[1]:.1%} of the time waiting for data")
    print(f"all cores     {all_cores[0]:6.1f} images/s, {all_cores[1]:.1%} of the time waiting for data")
    print(f"ratio {all_cores[0] / one[0]:.2f}")


if __name__ == "__main__":
    main()
