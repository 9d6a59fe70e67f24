"""Run folders: a new one for each run, whole again after a resume that failed, and enough to start the same run once more."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from ppface import predict
from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import ConfigError, UserError, WeightsError
from ppface.core.run import folder_lock
from ppface.data.synthetic.synthetic_faces import SyntheticFaces
from ppface.engine import checkpoint, evaluation, run
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.refused import removed_if_refused
from ppface.engine.world import World
from ppface.evaluators import FaceAP

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart" / "detection.yml"
TINY = [
    "train.dataset.length=8", "train.batch_size=8", "trainer.epochs=null", "trainer.iterations=1", "trainer.log_every=1",
    "evaluators=null", "processes=1",
]  # fmt: skip


def weights(folder: Path) -> dict[str, np.ndarray]:
    return checkpoint.read(CheckpointFolder(folder / "checkpoints").find("last"))[0]["weights.safetensors"]


def test_the_saved_config_alone_gives_the_same_run(tmp_path, run_tool):
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "one", "-o", *TINY)
    assert done.returncode == 0, done.stderr
    done = run_tool("tools/train.py", "-c", tmp_path / "one" / "config.yml", "--folder", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    for name, array in weights(tmp_path / "one").items():
        np.testing.assert_array_equal(array, weights(tmp_path / "two")[name], err_msg=name)
    before = (tmp_path / "one" / "config.yml").read_text()

    done = run_tool("tools/train.py", "--resume", tmp_path / "one", "-o", "model.head.landmarks=0", "loss.landmark_weight=0")
    assert done.returncode == 4
    assert "weights.safetensors: this checkpoint was saved with another network than the config's: 4 names differ" in done.stderr
    assert (tmp_path / "one" / "config.yml").read_text() == before

    other = folder_lock.take(tmp_path / "one", 0.0)
    done = run_tool("tools/train.py", "--resume", tmp_path / "one")
    os.close(other)
    expected = "another process is training this run: wait until it ends, or stop it, before you resume"
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, f"error: {tmp_path}/one: {expected}")

    done = run_tool("tools/train.py", "--resume", tmp_path / "one")
    assert "nothing is left to train: this run is finished" in done.stderr
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "one", "-o", *TINY)
    expected = f"error: {tmp_path}/one: expected an empty folder or a new one (--resume continues a run)"
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, expected)


def test_a_run_starts_from_the_best_weights_of_another_run(tmp_path, run_tool):
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "one", "-o", *TINY)
    assert done.returncode == 0, done.stderr
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "two", "-o", *TINY, f"weights={tmp_path / 'one'}")
    assert done.returncode == 0, done.stderr


def test_a_run_starts_from_weights_under_other_names(tmp_path, run_tool):
    model = build_model(load_config(QUICKSTART))
    save_file({f"net.{name}": value.numpy() for name, value in model.state_dict().items()}, tmp_path / "theirs.safetensors")
    (tmp_path / "names.yaml").write_text("names: [['^net\\.', '']]\n")
    options = [*TINY, f"weights={tmp_path / 'theirs.safetensors'}"]
    refused = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "one", "-o", *options)
    assert refused.returncode == 4
    assert "these are weights of another network" in refused.stderr
    done = run_tool(
        "tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "two", "-o", *options, f"weight_names={tmp_path / 'names.yaml'}"
    )
    assert done.returncode == 0, done.stderr
    config = tmp_path / "named.yml"
    config.write_text(f"_BASE_: {QUICKSTART}\nweights: {tmp_path / 'theirs.safetensors'}\nweight_names: {tmp_path / 'names.yaml'}\n")
    ours = predict.load_model(config).state_dict()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(ours[name].numpy(), value.numpy(), err_msg=name)


def test_runs_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    config = load_config(QUICKSTART, [f"output={tmp_path}"])
    monkeypatch.setattr(run.time, "strftime", lambda _: "20260101-120000")
    names = [run.new_folder(config, World("cpu"), {"name": "net"}).name for _ in range(3)]
    assert names == ["20260101-120000", "20260101-120000_2", "20260101-120000_3"]


def test_numbers_of_a_run_out_of_range_are_named_together():
    with pytest.raises(ConfigError) as caught:
        run.check_trainable(load_config(QUICKSTART, ["seed=-1", "processes=0"]))
    assert caught.value.mistakes == [
        "-o seed=-1: seed: expected a whole number of at least 0, received -1",
        "-o processes=0: processes: expected a whole number of at least 1, received 0",
    ]


def test_a_metric_needs_evaluators():
    with pytest.raises(ConfigError) as caught:
        run.check_trainable(load_config(QUICKSTART, ["trainer.metric=lfw/accuracy", "evaluators=[]"]))
    expected = "expected an evaluator that returns lfw/accuracy, but this config has no evaluators"
    assert caught.value.mistakes == [f"-o trainer.metric=lfw/accuracy: trainer.metric: {expected}"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({}, "step_00000001: expected a complete checkpoint, best, ema_updates, optimizer.safetensors is missing; resume from another one"),
        (
            {"step_00000001/state.json": "{}"},
            "step_00000001/state.json: expected a text that matches the SHA-256 at its end: it was truncated or changed",
        ),
    ],
)
def test_a_damaged_checkpoint_is_one_line(tmp_path, damage, message):
    folder = CheckpointFolder(tmp_path)
    folder.save({"weights.safetensors": {"a": np.ones(3, "float32")}}, {"step": 1}, best=True)
    for file, text in damage.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(WeightsError) as caught:
        checkpoint.restore(tmp_path / "step_00000001", None, None, None)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot write the run's folder: File exists; choose another with -o output=DIR"):
        run.new_folder(load_config(QUICKSTART), World("cpu"), {"name": "net"}, str(tmp_path / "file"))


def test_what_either_of_two_processes_cannot_read_is_listed_in_the_runs_folder(tmp_path, rng, run_tool):
    broken = []
    for i in range(16):
        file = tmp_path / "faces" / f"person {i % 2}" / os.fsdecode(b"\xc4 %d.png" % i)  # a name that is not UTF-8
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
        if i % 3 == 0:
            file.write_bytes(file.read_bytes()[:-40])
            broken.append(str(file).encode("utf-8", "backslashreplace").decode())
    config = QUICKSTART.with_name("recognition.yml")
    options = [
        f"train.dataset={{name: IdentityFolder, root: {tmp_path / 'faces'}, size: [64, 64]}}",
        "train.batch_size=8",
        "train.broken_share=1",
    ]
    options += ["trainer.epochs=1", "processes=2", "device=cpu", "evaluators=[]"]
    done = run_tool("tools/train.py", "-c", config, "--folder", tmp_path / "run", "-o", *options)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    listed = (tmp_path / "run" / "broken.txt").read_text().splitlines()
    assert sorted(line.partition(":")[0] for line in listed) == sorted(broken)
    assert 0 < done.stderr.count("skipped unreadable sample") < len(broken)  # the first process alone logs


def test_a_config_that_was_changed_before_a_resume_is_reported(tmp_path, run_tool):
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "run", "-o", *TINY)
    assert done.returncode == 0, done.stderr
    options = ["trainer.iterations=2", "optimizer.weight_decay=0.25"]
    done = run_tool("tools/train.py", "--resume", tmp_path / "run", "-o", *options)
    assert done.returncode == 0, done.stderr
    assert "resuming with a changed config: optimizer.weight_decay was " in done.stderr
    assert ", is 0.25: results will differ from an uninterrupted run" in done.stderr


def test_a_picture_missing_in_the_evaluation_set_is_found_before_the_first_step(tmp_path, run_tool):
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("RGB", (128, 128)).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "label.txt").write_text("".join(f"# {i}.png\n10 10 50 50\n" for i in range(4)))
    evaluators = f"evaluators=[{{name: FaceAP, dataset: {{name: RetinaFaceLabels, root: {tmp_path}}}}}]"
    options = [*(option for option in TINY if not option.startswith("evaluators")), evaluators]
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "one", "-o", *options)
    expected = f"error: evaluators.0: FaceAP: {tmp_path}/images/3.png: no such picture file"
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (3, expected)
    assert "step 1" not in done.stderr + done.stdout
    assert not (tmp_path / "one").exists()  # so that the same --folder is accepted once the picture is there


def test_a_metric_that_no_evaluator_returns_is_refused_before_the_first_step(tmp_path):
    evaluators = [FaceAP(SyntheticFaces(1)), FaceAP(SyntheticFaces(1))]
    assert evaluation.names(evaluators) == ["ap", "recall", "ap.1", "recall.1"]
    for metric, advice in (("AP", "Did you mean 'ap'?"), ("lfw/accuracy", "They return ap, recall.")):
        options = [f"trainer.metric={metric}", "evaluators=[{name: FaceAP, dataset: {name: SyntheticFaces, length: 1}}]", "processes=1"]
        config = load_config(QUICKSTART, [*options, "train.dataset.length=8", "train.batch_size=8"])
        world = World("cpu")
        with pytest.raises(ConfigError) as caught:
            run.assemble(config, world, tmp_path, build_model(config), run.open_data(config, world), {})
        assert caught.value.mistakes == [f"-o {options[0]}: trainer.metric: no evaluator returns '{metric}'. {advice}"]
    assert evaluation.names([*evaluators, lambda predict: []]) is None  # such an evaluator may return anything


class Knowing:
    """An evaluator that knows all of its values once it has looked at its data."""

    def __init__(self):
        self.known = ["nme", "nme_blur"]

    def values(self):
        return self.known

    def check(self, predict):
        self.known = ["nme"]

    def __call__(self, predict):
        yield "nme", 0.1


def test_a_metric_that_an_evaluator_rules_out_by_its_data_is_refused_before_the_first_step(tmp_path):
    config, world = load_config(QUICKSTART, ["trainer.metric=nme_blur", "train.dataset.length=8", "train.batch_size=8"]), World("cpu")
    config.arguments["evaluators"].value = [Knowing]
    with pytest.raises(ConfigError, match=r"trainer\.metric: no evaluator returns 'nme_blur'"):
        run.assemble(config, world, tmp_path, build_model(config), run.open_data(config, world), {})


@pytest.fixture
def refuse(tmp_path):
    """Makes the folder of a new run, fills it as a training does, and refuses the run within it."""

    def refuse(name: str, **options) -> Path:
        config, world = load_config(QUICKSTART), World("cpu")
        folder = run.new_folder(config, world, {"name": "net"}, str(tmp_path / name))
        for file in ("log.jsonl", "broken.txt", "classes.json", "class_examples.json"):
            (folder / file).touch()
        (folder / "vdl").mkdir()
        (folder / "vdl" / "vdlrecords.1.log").touch()
        for file in options.pop("others", []):
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text("kept")
        with pytest.raises(UserError, match="refused"), removed_if_refused(folder, world, **options):
            raise UserError("refused")
        return folder

    return refuse


def test_a_refused_run_leaves_no_folder(refuse):
    assert not refuse("new").exists()


def test_a_refused_run_leaves_what_existed_before(refuse, tmp_path):
    (tmp_path / "empty").mkdir()
    assert list(refuse("empty", existed=True).iterdir()) == []
    assert [file.name for file in refuse("used", others=["notes.txt"]).iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("options", [{"began": lambda: True}, {"others": ["checkpoints/step_00000001"]}], ids=["began", "checkpoint"])
def test_a_run_with_steps_keeps_its_folder(refuse, options):
    folder = refuse("run", **options)
    assert {"config.yml", "environment.json", "log.jsonl", "broken.txt", "vdl"} <= {file.name for file in folder.iterdir()}


def test_data_that_fail_within_the_first_step_leave_no_folder(tmp_path, run_tool):
    (tmp_path / "images").mkdir()
    for i in range(8):
        Image.new("RGB", (128, 128)).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "images" / "5.png").write_bytes((tmp_path / "images" / "5.png").read_bytes()[:-30])
    (tmp_path / "label.txt").write_text("".join(f"# {i}.png\n10 10 50 50\n" for i in range(8)))
    options = [*TINY, f"train.dataset={{name: RetinaFaceLabels, root: {tmp_path}}}", "train.broken_share=0", "processes=1"]
    (tmp_path / "mine").mkdir()
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "mine", "-o", *options)
    assert done.returncode == 3, done.stderr
    assert "1 of 8 samples cannot be read" in done.stderr
    assert list((tmp_path / "mine").iterdir()) == []  # so that the same --folder is accepted once the picture is repaired


def test_the_field_example_of_a_missing_evaluation_picture(tmp_path, run_tool, shared_data):
    field = shared_data / "field" / "16_eval_breaks"
    if not field.is_dir():
        pytest.skip(f"the field examples are not here: {field} does not exist")
    sets = [f"{{name: VocFaces, root: {field / name}}}" for name in ("trainset", "testset")]
    options = [f"train.dataset={sets[0]}", f"evaluators=[{{name: FaceAP, dataset: {sets[1]}}}]", "train.batch_size=4", "processes=1"]
    done = run_tool("tools/train.py", "-c", QUICKSTART, "--folder", tmp_path / "one", "-o", *options, "trainer.epochs=1")
    assert done.returncode == 3
    assert "d3" in done.stderr.strip().splitlines()[-1] and "no such picture" in done.stderr
    assert "step 1" not in done.stderr + done.stdout


def test_a_batch_of_one_picture_a_process_is_reported_where_batch_norm_needs_more(tmp_path, run_tool, caplog):
    config = QUICKSTART.with_name("recognition.yml")
    few = ["train.dataset.identities=4", "train.dataset.images=2", "trainer.epochs=null", "trainer.iterations=1", "evaluators=null"]
    options = [*few, "trainer.metric=null", "processes=1", "train.batch_size=1"]
    done = run_tool("tools/train.py", "-c", config, "--folder", tmp_path / "run", "-o", *options)
    assert done.returncode == 0, done.stderr
    assert "FLAGS" not in done.stderr  # Paddle's list of them
    effect = "batch norm over a single value has no effect and does not update its statistics (backbone.pool.1, backbone.norm)"
    message = "train.batch_size={0} with processes={0} gives each process one picture: {1}: use a batch_size of at least {2}"
    said = [line.split(" ", 1)[1] for line in done.stderr.splitlines() if "batch norm" in line]
    assert said == [message.format(1, effect, 2)]
    model = build_model(load_config(config, ["model.head.class_num=4"]))
    for batch in (2, 4):
        run.warn_of_batch(model, batch, processes=2)
    assert caplog.messages == [message.format(2, effect, 4)]
