"""`ppface check` finds what components know to be wrong from the config alone: pools that are too small, teachers that are not there."""

from functools import partial
from pathlib import Path

import pytest

from ppface.core.config.contradictions import contradictions
from ppface.core.config.spec import load_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
POOL = CONFIGS / "quickstart" / "class_pool.yml"
TAUGHT = CONFIGS / "quickstart" / "distillation.yml"


@pytest.fixture
def check(run_tool):
    return partial(run_tool, "tools/check_config.py", "--quiet")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.batch_size=82"],
            "DynamicClassPool: expected model.head.slots of at least 41, half of train.batch_size=82, received 40: use more slots or a ",
        ),
        (
            ["train.batch_size=81"],
            "DynamicClassPool: expected train.batch_size to be a multiple of 2, two halves in each process, received 81",
        ),
        (
            ["train.batch_size=30", "processes=2"],
            "DynamicClassPool: expected train.batch_size to be a multiple of 4, two halves in each process, received 30",
        ),
    ],
)
def test_a_batch_that_does_not_fit_into_the_pool(overrides, message):
    (found,) = contradictions(load_config(POOL, overrides))
    assert found.startswith(f"{POOL}:7: model.head: {message}")


@pytest.mark.parametrize("overrides", [[], ["train.batch_size=80"], ["train=null"]])
def test_pools_that_fit_and_configs_without_data(overrides):
    assert contradictions(load_config(POOL, overrides)) == []


def test_the_command_refuses_a_teacher_that_is_missing(check, tmp_path):
    done = check(TAUGHT, "-o", f"loss.1.teacher.source={tmp_path}/gone")
    at, expected = f"{TAUGHT}:11: loss.1.teacher", "FrozenModel: expected source to be a run, a checkpoint, an export or a config"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{at}: {expected}, but {tmp_path}/gone does not exist\n"


def test_the_weights_of_a_teacher_and_names_of_the_zoo(tmp_path):
    (found,) = contradictions(load_config(TAUGHT, [f"loss.1.teacher.source={TAUGHT}", "loss.1.teacher.weights=gone.pth"]))
    assert found.endswith("FrozenModel: expected weights to be a weight file, a checkpoint or a run, but gone.pth does not exist")
    (found,) = contradictions(load_config(TAUGHT, ["loss.1.teacher.source=zoo:adaface_ir18_webface4n"]))
    assert "there is no such entry. Did you mean 'zoo:adaface_ir18_webface4m'?" in found
    assert contradictions(load_config(TAUGHT, ["loss.1.teacher.source=zoo:adaface_ir18_webface4m"])) == []


def test_a_teacher_that_an_earlier_run_may_make_is_a_warning(check, tmp_path):
    done = check(TAUGHT, "-o", f"output={tmp_path}", f"loss.1.teacher.source={tmp_path}/first")
    assert (done.returncode, done.stdout) == (0, f"{TAUGHT}: valid\n")
    assert "loss.1.teacher.source: FrozenModel: expected source to be a run" in done.stderr
    assert done.stderr.endswith(f"but {tmp_path}/first does not exist: make it before this run\n")
