"""The loop with toys: a model, a data set and a loss small enough to follow, and real runs through the tools."""

import json
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppface.core.config.spec import load_config
from ppface.core.errors import DataError, NumericError, UserError
from ppface.data.loading.loader import Loader
from ppface.engine import checkpoint, devices, run
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.evaluation import measure
from ppface.optim import Adam, AdamW, Momentum, RMSProp
from ppface.optim.schedules import Constant
from tests.engine.toys import Line, Pixels, cross_entropy, files, trainer

ROOT = Path(__file__).resolve().parents[2]


OPTIMIZERS = {
    "momentum": lambda **supplied: Momentum(learning_rate=0.1, weight_decay=1e-3, **supplied),
    "rmsprop": lambda **supplied: RMSProp(learning_rate=0.01, clip_norm=1.0, **supplied),
    "adam": lambda **supplied: Adam(learning_rate=0.01, **supplied),
    "adamw": lambda **supplied: AdamW(learning_rate=0.01, **supplied),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_stopped_and_resumed_gives_the_bytes_of_one_never_stopped(tmp_path, name, accumulate):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    options = {"optimizer": OPTIMIZERS[name], "ema": 0.9, "accumulate": accumulate}
    trainer(tmp_path / "whole", **options).train()
    trainer(tmp_path / "parts", **options, iterations=3).train()
    resumed = trainer(tmp_path / "parts", **options)
    resumed.resume(CheckpointFolder(tmp_path / "parts" / "checkpoints").find("last"))
    assert resumed.step == 3
    resumed.train()
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    assert whole.keys() == parts.keys() == {"weights.safetensors", "optimizer.safetensors", "ema.safetensors"}
    for file, arrays in whole.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, parts[file][key], err_msg=f"{file} {key}")


def test_optimizer_state_is_keyed_by_the_models_own_names(tmp_path):
    trainer(tmp_path, optimizer=OPTIMIZERS["adam"]).train()
    names = set(files(tmp_path)["optimizer.safetensors"])
    assert {"linear.weight/moment1", "linear.bias/moment2", "norm.weight/beta1_pow_acc"} <= names


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path):
    class Plain(Line):
        def forward(self, batch):
            return {"logits": self.linear(batch["image"].astype("float32").reshape([-1, 12]) / 255)}

    weights = []
    for size, accumulate in ((4, 2), (8, 1)):
        one = trainer(tmp_path, iterations=2, accumulate=accumulate)
        paddle.seed(0)
        one.model = Plain()
        one.optimizer = Momentum(one.model.parameters(), 1, 1, 0.1)
        one.loader = Loader(Pixels(), [], batch_size=size, seed=3, rank=0, world=1)
        one.train()
        weights.append(one.model.linear.weight.numpy())
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)


def test_the_best_checkpoint_is_kept_and_named_by_the_metric(tmp_path):
    values = iter([0.1, 0.9, 0.3, 0.2])
    one = trainer(tmp_path, evaluators=[lambda predict: [("other", 1.0), ("ap", next(values))]], eval_every=2, metric="ap", keep=1)
    assert one.train() == {"other": 1.0, "ap": 0.2}
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert (folder.find("last").name, folder.find("best").name) == ("step_00000008", "step_00000004")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_00000004", "step_00000008"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["ap"] for line in lines if "ap" in line] == [0.1, 0.9, 0.3, 0.2]
    assert all(0 <= line["data_wait"] <= 1 and line["images_per_s"] > 0 and "loss/ce" in line for line in lines if "ap" not in line)


def test_a_metric_that_is_no_number_never_makes_the_best_checkpoint(tmp_path):
    values = iter([float("nan"), 0.3, float("nan"), 0.5])
    one = trainer(tmp_path, evaluators=[lambda predict: [("nme", next(values))]], eval_every=2, metric="nme", higher_is_better=False)
    one.train()
    best = checkpoint.read(CheckpointFolder(tmp_path / "checkpoints").find("best"))[1]
    assert (best["step"], best["best"]) == (4, 0.3)


@pytest.mark.parametrize(
    ("metric", "given", "best"), [(None, None, 6), ("nme", None, 6), ("nme", True, 2), ("auc", None, 4), ("nme.1", None, 4)]
)
def test_of_errors_the_best_checkpoint_has_the_least(tmp_path, metric, given, best):
    class Errors:
        lower_is_better = ("nme",)

        def __init__(self, nme):
            self.nme, self.auc = iter(nme), iter([0.2, 0.6, 0.3, 0.1])

        def values(self):
            return ["nme", "auc"]

        def __call__(self, predict):
            return [("nme", next(self.nme)), ("auc", next(self.auc))]

    evaluators = [Errors([0.5, 0.3, 0.2, 0.4]), Errors([0.4, 0.1, 0.2, 0.3])]
    trainer(tmp_path, evaluators=evaluators, eval_every=2, metric=metric, higher_is_better=given).train()
    assert checkpoint.read(CheckpointFolder(tmp_path / "checkpoints").find("best"))[1]["step"] == best


def test_equal_names_of_two_evaluators_are_distinguished():
    assert measure([lambda p: [("ap", 1.0)], lambda p: [("ap", 2.0), ("x", 3.0)]], None) == {"ap": 1.0, "ap.1": 2.0, "x": 3.0}


def test_the_running_average_is_what_is_evaluated(tmp_path):
    seen = []
    one = trainer(tmp_path, ema=0.5, evaluators=[lambda model: [("ap", float(seen.append(model.linear.weight.numpy().copy()) or 0))]])
    one.train()
    np.testing.assert_array_equal(seen[0], files(tmp_path)["ema.safetensors"]["linear.weight"])
    assert not np.array_equal(seen[0], one.model.linear.weight.numpy())


def test_broken_samples_are_replaced_and_counted_until_there_are_too_many(caplog):

    loader = Loader(Pixels(broken=(3,)), [], batch_size=4, seed=0, rank=0, world=1, broken_share=0.1)
    batches = list(loader.stream(0, 4))
    assert loader.broken == {"pixel-3": "pixel-3: broken picture: torn"}
    assert caplog.messages == ["skipped unreadable sample 1: pixel-3: broken picture: torn"]
    assert all(len(batch.names) == 4 for batch in batches)
    loader = Loader(Pixels(broken=(3, 5)), [], batch_size=4, seed=0, rank=0, world=1, broken_share=0.1)
    with pytest.raises(DataError) as caught:
        list(loader.stream(0, 4))
    text = "2 of 16 samples cannot be read, train.broken_share=0.1 allows 1:"
    assert str(caught.value).splitlines()[0] == text
    assert "  pixel-3: broken picture: torn" in str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3, "world": 2}, "Loader: expected a batch_size that is a multiple of the 2 processes, received 3"),
        ({"batch_size": 17, "world": 1}, "Loader: expected a batch_size of at most the 16 samples of the data set, received 17"),
        (
            {"batch_size": 4, "world": 1, "workers": -1},
            "Loader: expected workers >= 0, prefetch >= 1 and broken_share in 0..1, received -1, 2 and 0.001",
        ),
    ],
)
def test_a_loader_says_what_it_expected(options, message):
    with pytest.raises(ValueError, match="Loader") as caught:
        Loader(Pixels(), [], seed=0, rank=0, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("options", [{"iterations": None}, {"epochs": 1}, {"iterations": 0}])
def test_a_trainer_wants_one_length(tmp_path, options):
    with pytest.raises(ValueError, match="expected either epochs or iterations, at least 1"):
        trainer(tmp_path, **options)


def test_a_step_is_at_most_an_epoch(tmp_path):
    with pytest.raises(ValueError, match="Trainer: expected accumulate of at most the 4 batches of an epoch, received 5"):
        trainer(tmp_path, accumulate=5)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    from ppface.core.errors import WeightsError

    trainer(tmp_path).train()
    other = trainer(tmp_path)
    other.model.extra = paddle.nn.Linear(1, 1)
    with pytest.raises(
        WeightsError,
        match=r"weights.safetensors: this checkpoint was saved with another network than the config's: 2 names differ, first extra.bias",
    ):
        other.resume(CheckpointFolder(tmp_path / "checkpoints").find("last"))


def test_a_run_goes_on_from_the_newest_sound_checkpoint_and_says_so(tmp_path, caplog):
    from ppface.core.errors import WeightsError

    first = trainer(tmp_path, save_every=3)
    first.train()
    saved = tmp_path / "checkpoints"
    broken = saved / "step_00000008" / "optimizer.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"step_00000008/optimizer.safetensors: expected content with the SHA-256"):
        checkpoint.restore(broken.parent, first.train_step, first.optimizer, None)
    one = trainer(tmp_path, save_every=3)
    assert checkpoint.restore(CheckpointFolder(saved), one.train_step, one.optimizer, None)["step"] == 6
    assert f"falling back to the newest intact one, {saved}/step_00000006, because:\n  {broken}: expected content" in caplog.text
    whole, parts = checkpoint.read(saved / "step_00000006")[0], checkpoint.remember(one.train_step, one.optimizer, None)
    for file, arrays in whole.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, parts[file][key], err_msg=f"{file} {key}")
            assert array.shape == parts[file][key].shape


TINY = [
    "train.dataset.length=16", "train.batch_size=8", "trainer.epochs=null", "trainer.iterations=2", "trainer.log_every=1",
    "evaluators.0.dataset.length=4", "model.post.pre_top=50", "model.post.keep_top=10",
]  # fmt: skip


def test_the_plain_command_trains_in_two_processes_and_resumes(tmp_path, run_tool):
    config, folder = ROOT / "configs" / "quickstart" / "detection.yml", tmp_path / "run"
    done = run_tool("tools/train.py", "-c", config, "--folder", folder, "-o", *TINY, "processes=2")
    assert done.returncode == 0, done.stderr
    assert "step 2: ap " in done.stderr
    assert {"config.yml", "environment.json", "log.jsonl", "vdl", "checkpoints"} <= {path.name for path in folder.iterdir()}
    assert json.loads((folder / "environment.json").read_text())["processes"] == 2
    resolved = load_config(folder / "config.yml")
    assert resolved["train"]["batch_size"] == 8
    done = run_tool("tools/train.py", "--resume", folder, "-o", "trainer.iterations=3", "processes=1")
    assert done.returncode == 0, done.stderr
    assert "at step 2 of 3" in done.stderr
    assert CheckpointFolder(folder / "checkpoints").find("last").name == "step_00000003"


def test_two_processes_average_to_the_gradients_of_one(tmp_path, run_tool):
    """Without batch norm statistics and with a loss that is a plain mean, two processes take the step that one takes."""
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport paddle\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.engine.toys as t\nfrom ppface.engine.world import World\nfrom ppface.data.loading.loader import Loader\nfrom ppface.optim import Momentum\n"
        "class Plain(t.Line):\n"
        "    def forward(self, batch):\n"
        "        return {'logits': self.linear(batch['image'].astype('float32').reshape([-1, 12]) / 255)}\n"
        "world = World('cpu')\npaddle.seed(0)\nmodel = Plain()\nmake = lambda **s: Momentum(learning_rate=0.1, **s)\n"
        "loader = Loader(t.Pixels(), [], batch_size=8, seed=3, rank=world.rank, world=world.size)\n"
        "folder = Path(sys.argv[1]); folder.mkdir(exist_ok=True)\n"
        "t.Trainer(t.step(model), make, loader, [], world, folder, 0, iterations=4).train()\n"
    )
    assert run_tool(script, tmp_path / "one", fresh=True).returncode == 0
    assert devices.launch([sys.executable, str(script), str(tmp_path / "two")], 2) == 0
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    for key, array in one["weights.safetensors"].items():
        if key.startswith("linear"):
            np.testing.assert_allclose(array, two["weights.safetensors"][key], atol=1e-6, err_msg=key)


def test_a_process_that_fails_ends_the_others(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text("import os, sys, time\nsys.exit(7) if os.environ['PADDLE_TRAINER_ID'] == '1' else time.sleep(60)\n")
    assert devices.launch([sys.executable, str(script)], 2) == 7


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, run_tool):
    (tmp_path / "file").write_text("")
    config = str(ROOT / "configs" / "quickstart" / "detection.yml")
    done = run_tool("tools/train.py", "-c", config, "-o", *TINY, f"output={tmp_path / 'file'}", "processes=1")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path}/file/detection/")
    assert done.stderr.strip().endswith("cannot write the run's folder: Not a directory; choose another with -o output=DIR")


def test_a_config_without_training_sections_says_which(tmp_path):
    config = load_config(ROOT / "configs" / "_base_" / "blazeface.yml")
    with pytest.raises(UserError, match=r"blazeface.yml: expected optimizer, train, trainer in a config to train from"):
        run.check_trainable(config)


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="this Paddle may see a GPU")
def test_a_gpu_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"device: expected a GPU, but Paddle finds none"):
        devices.pick("gpu")
    assert devices.pick("auto") == devices.pick("cpu") == "cpu"


def test_a_metric_that_is_not_evaluated_is_reported_after_the_checkpoint_is_saved(tmp_path):
    one = trainer(tmp_path, evaluators=[lambda predict: [("ap", 0.5)]], metric="app", eval_every=2)
    with pytest.raises(UserError) as caught:
        one.train()
    there = "the evaluators return ap; the checkpoint of step 2 is saved"
    assert str(caught.value) == f"trainer.metric=app is not evaluated: {there}. Resume with -o trainer.metric=ap"
    assert CheckpointFolder(tmp_path / "checkpoints").find("last").name == "step_00000002"


@pytest.mark.parametrize(
    "failure", [DataError("a.jpg: cannot be read"), MemoryError(), ValueError("a bug")], ids=lambda e: type(e).__name__
)
def test_an_evaluator_that_fails_costs_no_trained_step(tmp_path, caplog, failure):
    def fails(predict):
        raise failure

    with pytest.raises(type(failure)):
        trainer(tmp_path, evaluators=[fails], eval_every=3).train()
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.find("last").name == "step_00000003"
    message = f"the evaluation after step 3 failed. {folder.find('last')} is saved; --resume repeats the evaluation"
    assert message in caplog.messages
    calls = []
    whole = trainer(tmp_path / "whole", evaluators=[lambda predict: [("ap", 0.5)]], eval_every=3)
    resumed = trainer(tmp_path, evaluators=[lambda predict: calls.append(1) or [("ap", 0.5)]], eval_every=3)
    resumed.resume(folder)
    assert resumed.train() == whole.train() == {"ap": 0.5}
    assert len(calls) == 3  # after step 3, which was owed, 6 and 8
    for file, arrays in files(tmp_path / "whole").items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, files(tmp_path)[file][name])


def test_the_results_of_an_evaluation_are_added_to_its_checkpoint(tmp_path):
    states = []

    def looks(predict):
        states.append(checkpoint.read(CheckpointFolder(tmp_path / "checkpoints").find("last"))[1])
        return [("ap", len(states) / 10)]

    trainer(tmp_path, evaluators=[looks], eval_every=4, keep=1).train()
    assert [(state["step"], state["owes_evaluation"], state["metrics"], state["best_step"]) for state in states] == [
        (4, True, {}, None), (8, True, {}, 4),
    ]  # fmt: skip
    last = checkpoint.read(CheckpointFolder(tmp_path / "checkpoints").find("best"))[1]
    assert (last["step"], last["owes_evaluation"], last["metrics"], last["best"]) == (8, False, {"ap": 0.2}, 0.2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_00000008"]


def test_a_warm_up_as_long_as_the_run_is_one_warning(tmp_path, caplog):
    for schedule in (Constant(0.1, warmup_steps=7), Constant(0.1, warmup_steps=8)):
        trainer(tmp_path, optimizer=lambda schedule=schedule, **given: Momentum(learning_rate=lambda **_: schedule, **given))
    assert caplog.messages == ["warmup_steps=8 lasts for all 8 steps of the run: the learning rate stays below its base"]


def test_data_that_lacks_what_the_loss_asks_for_is_one_line(tmp_path):
    with pytest.raises(UserError) as caught:
        trainer(tmp_path, loss=lambda outputs, batch: {"ce": batch["gt_boxes"]}).train()
    assert str(caught.value) == "the model or loss needs 'gt_boxes', but the data has image, label: choose a data set that yields it"


def test_a_resumed_log_has_every_step_once(tmp_path):
    def crash(outputs, batch):
        calls.append(1)
        return {"ce": cross_entropy(outputs, batch)["ce"] * (float("nan") if len(calls) == 7 else 1)}

    calls = []
    with pytest.raises(NumericError):
        trainer(tmp_path, loss=crash, log_every=1, save_every=3).train()
    resumed = trainer(tmp_path, log_every=1, save_every=3)
    resumed.resume(CheckpointFolder(tmp_path / "checkpoints").find("last"))
    resumed.train()
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == list(range(1, 9))


def test_a_run_resumed_between_two_lines_of_its_log_writes_the_lines_of_one_never_stopped(tmp_path):
    def lines(folder):
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [(record["step"], record["loss/ce"]) for record in records]

    trainer(tmp_path, log_every=3, save_every=2, keep=9).train()
    expected = lines(tmp_path)
    resumed = trainer(tmp_path, log_every=3, save_every=2, keep=9)
    resumed.resume(tmp_path / "checkpoints" / "step_00000004")
    resumed.train()
    assert lines(tmp_path) == expected
    assert [step for step, _ in expected] == [3, 6, 8]
