"""AP of public RetinaFace weights on some WIDER FACE validation pictures: our network, export and evaluator.

    python tests/benchmarks/retinaface_wider.py WEIGHTS PICTURES GROUND_TRUTH [SIDE]

WEIGHTS: the .pth of MobileNetV1 0.25 of https://github.com/biubug6/Pytorch_Retinaface. PICTURES: a folder of val pictures as
0--Parade/NAME.jpg, in any size; beside it `original_sizes.txt`, lines `0--Parade/NAME.jpg width height`. GROUND_TRUTH: the folder of the
official .mat files, of which the labels of these pictures are used. SIDE: long side at which pictures are tested; none: their own size.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    weights, pictures, truth_folder, *side = sys.argv[1:]
    sys.path.insert(0, str(ROOT))
    from ppface import predict
    from ppface.data.pictures.picture import Picture
    from ppface.evaluators.detect import detect
    from ppface.evaluators.wider_face import evaluate_curves
    from ppface.evaluators.wider_files import GroundTruth, read_ground_truth
    from ppface.ops.boxes import to_xywh
    from ppface.ops.resize import TestSize

    lines = (Path(pictures).parent / "original_sizes.txt").read_text(encoding="utf-8").splitlines()
    sizes = {path: (int(width), int(height)) for path, width, height in (line.rsplit(" ", 2) for line in lines)}
    whole = read_ground_truth(truth_folder)
    here = [f"{event}/{name}.jpg" in sizes for event, name in whole.names]
    rows = np.repeat(here, [len(faces) for faces in whole.faces])
    truth = GroundTruth(
        [name for name, present in zip(whole.names, here, strict=True) if present],
        [faces for faces, present in zip(whole.faces, here, strict=True) if present],
        {subset: counted[rows] for subset, counted in whole.counted.items()},
    )
    paths = [f"{event}/{name}.jpg" for event, name in truth.names]
    test = TestSize("long_side", (int(side[0]), int(side[0]))) if side else TestSize()
    with tempfile.TemporaryDirectory() as temporary:
        config, names = (
            ROOT / "configs" / "detection" / "retinaface_mobilenet025.yml",
            ROOT / "configs" / "weights" / "retinaface_pytorch.yaml",
        )
        command = [sys.executable, str(ROOT / "tools" / "export_model.py"), "-c", str(config), "--weights", weights, "--names", str(names)]
        subprocess.run([*command, "--out", f"{temporary}/export"], check=True)
        for kind, source in (
            ("live", {"source": config, "weights": weights, "names": names}),
            ("exported", {"source": f"{temporary}/export"}),
        ):
            model = predict.load_predictor(**source)
            found = detect(model, lambda i: Picture.open(str(Path(pictures) / paths[i])), len(paths), test)
            predictions = {}
            for path, name, faces in zip(paths, truth.names, found, strict=True):
                height, width = Picture.open(str(Path(pictures) / path)).size
                across, down = sizes[path][0] / width, sizes[path][1] / height
                predictions[name] = np.concatenate([to_xywh(faces[:, :4]) * [across, down, across, down], faces[:, 4:]], axis=1)
            aps = {subset: round(curve.ap, 4) for subset, curve in evaluate_curves(predictions, truth).items()}
            print(f"{kind}: AP on {len(paths)} pictures: {aps}", flush=True)


if __name__ == "__main__":
    main()
