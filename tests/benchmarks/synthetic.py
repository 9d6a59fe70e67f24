"""Time to draw a synthetic scene on one core, against the time available when training draws scenes on the fly.

    python tests/benchmarks/synthetic.py

Prints milliseconds per scene, each scene's best of several rounds, and the ratio to the target.
"""

import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from ppface.data.synthetic.scene import draw_scene

TARGETS = {128: 4.0, 640: 40.0}  # side in pixels -> milliseconds per scene
SCENES, ROUNDS = 32, 12


def main() -> None:
    cv2.setNumThreads(1)
    for side, target in TARGETS.items():
        for faces in ((3, 3), (0, 6)):
            best = np.full(SCENES, np.inf)
            for _ in range(ROUNDS):
                for index in range(SCENES):
                    start = time.perf_counter()
                    draw_scene(0, index, (side, side), faces=faces)
                    best[index] = min(best[index], time.perf_counter() - start)
            mean = best.mean() * 1e3
            print(f"{side}x{side}, {faces[0]} to {faces[1]} faces: {mean:.2f} ms per scene, {target / mean:.2f} times the target speed")


if __name__ == "__main__":
    main()
