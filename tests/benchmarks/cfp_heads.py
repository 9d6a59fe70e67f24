"""AdaFace, ArcFace, CurricularFace and MagFace trained on the same real faces with the same budget; verification on unseen people.

    python tests/benchmarks/cfp_heads.py DATA OUT [NAME ...] [KEY=VALUE ...]

DATA: a folder with cfp/aligned112, cfp/protocol, lfw/pairs.txt and lfw/images as configs/recognition/adaface_mobilefacenet_cfp.yml describes
them. OUT: where the runs are kept; a run that is there already is resumed, or only read if it is complete. Every run trains a MobileFaceNet
from random weights on people 1 to 300 of CFP for 8 epochs, differing in head and loss alone, and is measured on LFW's 6,000 pairs and on the
pairs of CFP-FP among people 301 to 400. So short a training on so few people says which margins converge fast, not which are best on millions.
KEY=VALUE: further `-o` of the config. CPU time is that of all processes together.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "recognition" / "adaface_mobilefacenet_cfp.yml"
HEADS = {  # name -> head and loss of the config; the margins of the papers, and s 32 for all, as often for few people
    "AdaFace": ("{name: AdaMargin, embedding_size: 128, m: 0.4, s: 32, h: 0.333, t_alpha: 0.01}", "{name: CELoss}"),
    "ArcFace": ("{name: ArcMargin, embedding_size: 128, m: 0.5, s: 32}", "{name: CELoss}"),
    "CurricularFace": ("{name: CurricularMargin, embedding_size: 128, m: 0.5, s: 32}", "{name: CELoss}"),
    "MagFace": ("{name: MagMargin, embedding_size: 128, s: 32}", "[{name: CELoss}, {name: MagnitudeLoss}]"),
}


def train(data: str, folder: Path, head: str, loss: str, options: list[str]) -> None:
    sets = "evaluators.0.sets"
    values = [
        "trainer.epochs=8",
        f"model.head={head}",
        f"loss={loss}",
        f"train.dataset.dataset.root={data}/cfp/aligned112",
        f"{sets}.lfw.pairs={data}/lfw/pairs.txt",
        f"{sets}.lfw.images={data}/lfw/images",
        f"{sets}.cfp_fp.protocol={data}/cfp/protocol",
        f"{sets}.cfp_fp.images={data}/cfp/aligned112",
    ]
    start = ["--resume", folder] if folder.exists() else ["-c", CONFIG, "--folder", folder, "-o", *values, *options]
    subprocess.run([sys.executable, ROOT / "tools" / "train.py", *map(str, start)], check=True)


def row(name: str, folder: Path, seconds: float) -> str:
    measured = [line for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if "lfw/accuracy" in line][-1]
    cells = [
        f"{measured[f'{part}/accuracy']:.3f} ({measured[f'{part}/accuracy_ci95_low']:.3f} to {measured[f'{part}/accuracy_ci95_high']:.3f})"
        for part in ("lfw", "cfp_fp")
    ]
    aucs = ", ".join(f"{measured[f'{part}/auc']:.3f}" for part in ("lfw", "cfp_fp"))
    return f"| {name} | {' | '.join(cells)} | {aucs} | {seconds / 60:.0f} |"


def main() -> None:
    data, out, *rest = sys.argv[1:]
    options = [word for word in rest if "=" in word]
    rows = ["| head | LFW | CFP-FP, people 301 to 400 | AUC of both | CPU minutes |", "|---|---|---|---|---|"]
    for name in [word for word in rest if "=" not in word] or HEADS:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        train(data, Path(out) / name, *HEADS[name], options)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows.append(row(name, Path(out) / name, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
