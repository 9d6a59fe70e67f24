"""A run that is stopped and resumed is the run that was never stopped: to the byte, in its log, whatever reads its data."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import DataError
from ppface.core.run import signals
from ppface.data.loading.loader import Loader
from ppface.engine import config_changes, run
from ppface.engine.world import World
from tests.engine import resumes
from tests.engine.faces import Faces, Shade
from tests.engine.resumes import STEPS, StopsAt, outcome, part_of, train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """kind, options -> the folder of a run that was never stopped, with the checkpoint of every step."""
    made: dict = {}

    def find(kind: str, **options) -> Path:
        key = kind, *sorted(options.items())
        if key not in made:
            made[key] = tmp_path_factory.mktemp(kind)
            train(made[key], kind, save_steps=1, keep=STEPS, **options)
        return made[key]

    return find


@pytest.mark.parametrize(("kind", "accumulate"), [("replicated", 1), ("sampled", 2), ("selected", 1)])
def test_stopped_at_any_step_it_ends_with_the_same_bytes_and_log(tmp_path, whole, kind, accumulate):
    """Steps 1..11: in the middle of epochs (5 batches), of the warm-up, between two lines of the log (every 5 steps)."""
    expected = outcome(whole(kind, accumulate=accumulate))
    assert expected["weights.safetensors"] != expected["ema.safetensors"] and len(expected["log"]) == 3
    for step in range(1, STEPS):
        folder = tmp_path / str(step)
        train(folder, kind, at=step, accumulate=accumulate)
        assert outcome(folder)["step"] == step
        train(folder, kind, accumulate=accumulate)
        assert outcome(folder) == expected, step


SMALL = {
    "detection": [
        "model.input.size=[64, 64]", "model.backbone.blaze_filters=[[4, 4], [4, 8, 2], [8, 8]]", "model.backbone.stem_kernel=3",
        "model.backbone.double_blaze_filters=[[8, 4, 8, 2], [8, 4, 8], [8, 4, 8, 2], [8, 4, 8]]", "train.batch_size=4",
        "train.dataset.length=12", "train.dataset.size=[64, 64]", "train.transforms=[{name: Flip}, {name: Resize, size: [64, 64]}]",
    ],
    "recognition": ["train.dataset.identities=5", "train.dataset.images=3", "train.batch_size=4", "model.head.sample_ratio=0.9"],
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_real_network_stopped_in_the_middle_of_an_epoch_ends_the_same(tmp_path, name):
    def go_on(folder: Path, at: int | None = None) -> None:
        options = [
            "evaluators=[]",
            "trainer.epochs=null",
            "trainer.iterations=5",
            "trainer.log_every=2",
            "trainer.eval_every=0",
            "trainer.ema=0.9",
        ]
        config = load_config(ROOT / "configs" / "quickstart" / f"{name}.yml", [*SMALL[name], *options])
        world = World("cpu", config["seed"])
        loader = run.open_data(config, world)
        folder.mkdir(exist_ok=True)
        made = run.assemble(config, world, folder, build_model(config), loader, {})
        made.train_step.loss[0] = StopsAt(at, made.train_step.loss[0])
        resumes.go_on(made)

    go_on(tmp_path / "whole")
    go_on(tmp_path / "parts", at=2)
    assert outcome(tmp_path / "parts")["step"] == 2
    go_on(tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_stopped_after_every_step_it_ends_the_same(tmp_path, whole):
    for step in [*range(1, STEPS), None]:
        train(tmp_path / "run", "sampled", at=step)
    assert outcome(tmp_path / "run") == outcome(whole("sampled"))


@pytest.mark.parametrize("kind", ["sampled", "selected"])
def test_the_number_of_workers_may_change_at_every_stop(tmp_path, whole, kind):
    for step, workers in ((2, 2), (3, 0), (7, 4), (None, 2)):
        train(tmp_path / "run", kind, at=step, workers=workers)
    assert outcome(tmp_path / "run") == outcome(whole(kind))


def test_without_its_selection_a_resumed_run_would_differ(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(Loader, "restore", lambda self, state: None)
    train(part_of(whole("selected"), 7, tmp_path / "run"), "selected")
    assert outcome(tmp_path / "run")["weights.safetensors"] != outcome(whole("selected"))["weights.safetensors"]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_depend_on_seed_epoch_and_sample_alone(workers):
    """The bytes of each augmented sample by name, of two epochs and a half: however many read them, and in how many processes."""

    def batches(workers, start=0, world=1):
        loaders = [Loader(Faces(), [Shade()], 4, 5, rank, world, workers=workers) for rank in range(world)]
        streams = [list(loader.stream(start, 12)) for loader in loaders]
        read = [[zip(batch.names, batch.arrays["image"], strict=True) for batch in same] for same in zip(*streams, strict=True)]
        return [{name: image.tobytes() for part in parts for name, image in part} for parts in read]

    expected = batches(0)
    assert len(expected) == 12 and {len(batch) for batch in expected} == {4}
    assert expected[0] != expected[5] and len({tuple(sorted(batch)) for batch in expected}) > 9
    assert batches(workers) == expected
    assert batches(workers, start=7) == expected[7:]
    assert batches(0, world=2) == expected


@pytest.mark.parametrize(("asked", "error"), [(0, DataError), (15, DataError), (0, KeyError), (15, KeyError)])
def test_a_run_whose_data_fails_in_the_middle_of_a_step_saves_the_steps_before_it(tmp_path, whole, monkeypatch, asked, error):
    plain = Loader.stream

    def fails(self, start, end):
        yield from plain(self, start, 7)
        signals._State.received = asked or None
        raise error("the disk is gone")

    monkeypatch.setattr(Loader, "stream", fails)
    made = resumes.trainer(tmp_path, "sampled", accumulate=2)
    made.train_step.loss[0].trainer = made
    try:
        stopped = asked and error is DataError
        with pytest.raises(signals.Stopped if stopped else error, match="SIGTERM" if stopped else "the disk is gone"):
            made.train()
    finally:
        signals._State.received = None
    monkeypatch.undo()
    assert outcome(tmp_path)["step"] == 3
    train(tmp_path, "sampled", accumulate=2)
    assert outcome(tmp_path) == outcome(whole("sampled", accumulate=2))


def test_what_was_trained_before_is_not_read_again(tmp_path, whole, monkeypatch):
    source, read = whole("sampled"), []
    plain = Faces.__getitem__
    monkeypatch.setattr(Faces, "__getitem__", lambda self, i: read.append(i) or plain(self, i))
    train(part_of(source, 9, tmp_path / "run"), "sampled")
    assert len(read) == 3 * 4


@pytest.fixture(scope="module")
def ranks(whole, tmp_path_factory):
    """Folder of the runs of each kind: `one` in one process, and those of `resumes.on_ranks`."""
    folder = tmp_path_factory.mktemp("ranks")
    for kind in resumes.KINDS:
        (folder / kind).mkdir()
        (folder / kind / "one").symlink_to(whole(kind))
    command = [sys.executable, str(ROOT / "tests" / "engine" / "resumes.py"), str(folder)]
    launch = f"import sys; from ppface.engine.devices import launch; sys.exit(launch({command!r}, 2))"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", launch], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", resumes.KINDS)
def test_two_processes_resume_to_the_byte(ranks, kind):
    assert outcome(ranks / kind / "two_two") == outcome(ranks / kind / "two")


@pytest.mark.parametrize("kind", ["replicated", "spread"])
def test_another_number_of_processes_goes_on_to_the_same_end(tmp_path, ranks, kind):
    """To rounding, where the network has no statistics of a process's own share of a batch and no draws of its own."""
    runs = ranks / kind
    train(part_of(runs / "two", 7, tmp_path / "two_one"), kind)
    for resumed, never_stopped in ((tmp_path / "two_one", runs / "two"), (runs / "one_two", runs / "one")):
        received, expected = outcome(resumed), outcome(never_stopped)
        assert [received[key] for key in ("step", "samples", "ema_updates")] == [12, 48, 12]
        for name in ("weights.safetensors", "ema.safetensors", "optimizer.safetensors"):
            arrays = load(received[name])
            for key, array in load(expected[name]).items():
                np.testing.assert_allclose(arrays[key], array, rtol=1e-4, atol=1e-5, err_msg=f"{name}: {key}")
        for line, other in zip(received["log"], expected["log"], strict=True):
            assert line == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"train": {"batch_size": 8, "workers": 0}}, "train.batch_size was 4, is 8"),
        ({"train": {"batch_size": 4, "workers": 2}}, None),
        ({"trainer": {"ema": 0.5}}, "trainer.ema was None, is 0.5"),
        ({"list": [{"name": "Flip", "p": 0.1}]}, "list.0.p was 0.5, is 0.1"),
        ({"list": []}, "list was [{'name': 'Flip', 'p': 0.5}], is []"),
        ({"processes": 2, "evaluators": []}, None),
    ],
)
def test_a_resumed_run_reports_what_of_its_config_was_changed(caplog, change, words):
    then = {"seed": 0, "processes": 1, "train": {"batch_size": 4, "workers": 0}, "trainer": {}, "list": [{"name": "Flip", "p": 0.5}]}
    config_changes.warn(then, then | change)
    config_changes.warn({}, then)
    lost = "; samples of this epoch may come twice or not at all" if "batch_size" in (words or "") else ""
    assert caplog.messages == (
        [f"resuming with a changed config: {words}: results will differ from an uninterrupted run{lost}"] if words else []
    )


def test_parameters_added_since_a_checkpoint_are_no_change(caplog):
    config = load_config(ROOT / "configs" / "quickstart" / "detection.yml").plain()
    then = copy.deepcopy(config)
    del then["model"]["input"]["order"], then["model"]["freeze"]
    config_changes.warn(then, config)
    assert not caplog.messages
    config["model"]["input"]["order"] = "BGR"
    config_changes.warn(then, config)
    assert caplog.messages == [
        "resuming with a changed config: model.input.order was RGB, is BGR: results will differ from an uninterrupted run"
    ]
