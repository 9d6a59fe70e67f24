"""How long one core takes to draw a synthetic scene, against the time that training on the fly can spare.

    python tests/benchmarks/synthetic.py

Prints milliseconds a scene, each scene's best of several rounds, and the ratio to the aim.
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

AIMS = {128: 4.0, 640: 40.0}  # side in pixels -> milliseconds a scene
SCENES, ROUNDS = 32, 12


def main() -> None:
    cv2.setNumThreads(1)
    for side, aim in AIMS.items():
        for faces in ((3, 3), (0, 6)):
            best = np.full(SCENES, np.inf)
            for _ in range(ROUNDS):
                for index in range(SCENES):
                    start = time.perf_counter()
                    draw_scene(0, index, (side, side), faces=faces)
                    best[index] = min(best[index], time.perf_counter() - start)
            mean = best.mean() * 1e3
            print(f"{side}x{side}, {faces[0]} to {faces[1]} faces: {mean:.2f} ms a scene, {aim / mean:.2f} times the speed aimed at")


if __name__ == "__main__":
    main()
