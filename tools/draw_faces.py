"""Draws synthetic pictures with faces as JPEG files, to try a detector on: python tools/draw_faces.py --out pictures --count 12"""

from pathlib import Path

import cv2

from ppface.core import cli
from ppface.data import SyntheticFaces


def main() -> int:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("--out", required=True, help="folder for the pictures")
    parser.add_argument("--count", type=int, default=12, help="how many")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--seed", type=int, default=2, help="the quickstart trains on seed 0 and holds out seed 1")
    args = parser.parse_args()
    try:
        pictures = SyntheticFaces(args.count, tuple(args.size), args.seed, faces=(1, 4), face_size=(0.2, 0.6))
    except ValueError as error:
        parser.error(str(error))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for i in range(len(pictures)):
        cv2.imwrite(str(out / f"{pictures.name(i)}.jpg"), pictures[i]["picture"].decode()[:, :, ::-1])
    print(f"{len(pictures)} pictures in {out}")
    return 0


if __name__ == "__main__":
    cli.run(main)
