"""Training that starts from weights of a model with another head: other people, landmarks added, other anchors."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ppface.engine import checkpoint
from ppface.engine.checkpoint import CheckpointFolder

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart"
SHORT = ["processes=1", "evaluators=[]", "trainer.epochs=null", "trainer.iterations=1", "trainer.ema=0", "optimizer.learning_rate=1e-30"]
PEOPLE = [*SHORT, "train.dataset.images=2", "train.batch_size=4"]
FACES = [*SHORT, "train.dataset.length=4", "train.batch_size=4"]


@pytest.fixture(scope="module")
def train(run_tool):
    """Trains a step with a learning rate that changes nothing; returns what it said, or its last line where it was refused."""

    def run(task: str, folder: Path, *arguments: object, code: int = 0) -> str:
        done = run_tool("tools/train.py", "-c", QUICKSTART / f"{task}.yml", "--folder", folder, *arguments)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        return done.stderr.strip().splitlines()[-1] if code else done.stderr

    return run


@pytest.fixture(scope="module")
def people(train, tmp_path_factory) -> Path:
    """A run on 40 people."""
    folder = tmp_path_factory.mktemp("people") / "run"
    train("recognition", folder, "-o", *PEOPLE, "train.dataset.identities=40", "seed=1")
    return folder


@pytest.fixture(scope="module")
def faces(train, tmp_path_factory) -> Path:
    """A run of a detector without landmarks."""
    folder = tmp_path_factory.mktemp("faces") / "run"
    train("detection", folder, "-o", *FACES, "model.head.landmarks=0", "loss.landmark_weight=0", "seed=1")
    return folder


def weights(folder: Path) -> dict[str, np.ndarray]:
    return checkpoint.read(CheckpointFolder(folder / "checkpoints").find("last"))[0]["weights.safetensors"]


def weight_file(folder: Path) -> Path:
    return CheckpointFolder(folder / "checkpoints").find("best") / "weights.safetensors"


def same(one: dict, other: dict, names) -> bool:
    return all(np.allclose(one[name], other[name], rtol=0, atol=1e-12) for name in names)


def learned(arrays: dict) -> set[str]:
    return {name for name in arrays if not name.endswith(("_mean", "_variance", "batch_mean", "batch_std"))}  # a step changes statistics


def test_from_40_people_to_8(train, people, tmp_path):
    said = train("recognition", tmp_path / "run", "--weights", people, "-o", *PEOPLE, "train.dataset.identities=8")
    before, after = weights(people), weights(tmp_path / "run")
    assert after["head.kernel"].shape == (128, 8)
    assert same(before, after, learned(before) - {"head.kernel"})
    told = [line for line in said.splitlines() if "arrays are loaded" in line]
    assert len(told) == 1 and told[0].endswith(
        f"{weight_file(people)}: {len(after) - 1} of the model's {len(after)} arrays are loaded; "
        "1 start anew: head.kernel ([128, 8] in the model, [128, 40] in the file)"
    )


def test_from_40_people_to_40_others(train, people, tmp_path):
    others = [*SHORT, "train.batch_size=4", f"train.dataset={{name: IdentityFolder, root: {tmp_path / 'people'}, size: [64, 64]}}"]
    for number in range(40):
        folder = tmp_path / "people" / f"person {number}"
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 64), (6 * number, 0, 0)).save(folder / "a.png")
    said = train("recognition", tmp_path / "run", "--weights", people, "-o", *others)
    before, after = weights(people), weights(tmp_path / "run")
    assert "1 start anew: head.kernel (of other classes)" in said
    assert same(before, after, [name for name in learned(before) if not name.startswith("head.")])
    assert not np.allclose(before["head.kernel"], after["head.kernel"])
    again = train("recognition", tmp_path / "again", "--weights", tmp_path / "run", "-o", *others)
    assert "start anew" not in again and same(after, weights(tmp_path / "again"), ["head.kernel"])


def test_from_no_landmarks_to_five_and_from_other_anchors(train, faces, tmp_path):
    before = weights(faces)
    said = train("detection", tmp_path / "run", "--weights", weight_file(faces), "-o", *FACES)
    after = weights(tmp_path / "run")
    new = sorted(after.keys() - before.keys())
    assert new and all(name.startswith("head.landmarks.") for name in new) and same(before, after, learned(before))
    assert f"; {len(new)} start anew: " in said and all(f"{name} (not in the file)" in said for name in new)

    anchors = ["model.head.min_sizes=[[16], [32, 48, 64, 80, 96, 128]]", "model.head.landmarks=0", "loss.landmark_weight=0"]
    said = train("detection", tmp_path / "anchors", "--weights", faces, "-o", *FACES, *anchors)
    after = weights(tmp_path / "anchors")
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed and all(name.startswith(("head.boxes.0", "head.scores.0")) for name in changed)
    assert same(before, after, learned(before) - changed) and f"{len(changed)} start anew: " in said


def test_names_may_leave_the_head_out(train, faces, tmp_path):
    (tmp_path / "names.yaml").write_text("names:\n  - ['^head\\.', 'left_out.']\n")
    options = ["--weights", faces, "--names", tmp_path / "names.yaml", "-o", *FACES]
    said = train("detection", tmp_path / "run", *options)
    before, after = weights(faces), weights(tmp_path / "run")
    head = [name for name in after if name.startswith("head.")]
    assert f"{len(head)} start anew: " in said and " of the file are not used: head." in said
    assert same(before, after, [name for name in learned(before) if not name.startswith("head.")])


def test_weights_of_another_network_leave_no_run(train, people, tmp_path):
    backbone = "model.backbone={name: AdaFace_IR_18, embedding_size: 128, input_size: [64, 64]}"
    told = train("recognition", tmp_path / "other", "-w", people, "-o", *PEOPLE, backbone, code=4)
    assert told.startswith(f"error: {weight_file(people)}: these are weights of another network: 0 of the model's ")
    assert not (tmp_path / "other").exists()


def test_what_a_run_started_from_is_recorded_through_resuming_and_reproducing(train, people, tmp_path, run_tool):
    run, file = tmp_path / "run", weight_file(people)
    train("recognition", run, "--weights", people, "-o", *PEOPLE, "train.dataset.identities=8")
    recorded = json.loads((run / "environment.json").read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (recorded["weights_file"], recorded["weights_sha256"]) == (str(file), digest)
    assert yaml.safe_load((run / "config.yml").read_text())["weights"] == str(people)

    done = run_tool("tools/train.py", "--resume", run, "-o", "trainer.iterations=2")
    assert done.returncode == 0 and "arrays are loaded" not in done.stderr and "weights_sha256" not in done.stderr, done.stderr
    state = checkpoint.read(CheckpointFolder(run / "checkpoints").find("last"))[1]
    for environment in (state["environment"], json.loads((run / "environment.json").read_text())):
        assert (environment["weights_file"], environment["weights_sha256"]) == (str(file), digest)

    done = run_tool("tools/train.py", "--reproduce", run, "--weights", run, "--folder", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert f"environment changed since this run: weights_sha256 was {digest}, is " in done.stderr


@pytest.mark.parametrize("options", [["--resume", "run", "--weights", "w.pdparams"], ["-c", "a.yml", "--names", "n.yaml"]])
def test_options_that_contradict_each_other_are_a_usage_error(run_tool, options):
    done = run_tool("tools/train.py", *options)
    assert done.returncode == 2
    assert (
        "error: --weights cannot be combined with --resume, which continues from the run's own checkpoint; --names needs --weights"
        in done.stderr
    )
