"""Evaluators of somebody's own: what they lack is one line before the first step, with the class and its file."""

import pytest

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import UserError
from ppface.engine import evaluation, run
from ppface.engine.world import World

QUICKSTART = "configs/quickstart/detection.yml"


class Good:
    def __call__(self, predict):
        yield "ap", 0.5


class Renamed:
    def evaluate(self, predict):
        yield "ap", 0.5


class NoPredict(Good):
    def __call__(self):
        yield "ap", 0.5


class TwoArguments(Good):
    def __call__(self, predict, data):
        yield "ap", 0.5


class Listed(Good):
    values = ["ap"]


class Needy(Good):
    def values(self, predict):
        return ["ap"]


class Flag(Good):
    check = True


class Word(Good):
    lower_is_better = "ap"


class Pairs(Good):
    def values(self):
        return [("ap", 0.5)]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Renamed, "expected a method __call__(self, predict), which yields pairs (name, value); there is none"),
        (NoPredict, "expected a method __call__(self, predict), which yields pairs (name, value): too many positional arguments"),
        (TwoArguments, "expected a method __call__(self, predict), which yields pairs (name, value): missing a required argument: 'data'"),
        (Listed, "expected a method values(self); received ['ap']"),
        (Needy, "expected a method values(self): missing a required argument: 'predict'"),
        (Flag, "expected a method check(self, predict); received True"),
        (Word, "expected a list of names as lower_is_better, received 'ap'"),
        (Pairs, "expected a list of names as values, received [('ap', 0.5)]"),
    ],
)
def test_what_an_evaluator_lacks_is_named_with_its_file(kind, told):
    evaluation.check_methods([Good(), lambda predict: []])
    with pytest.raises(UserError) as caught:
        evaluation.check_methods([Good(), kind()])
    assert str(caught.value) == f"evaluators.1: {kind.__name__} ({__file__}): {told}"


@pytest.mark.parametrize(
    "found", [None, {"ap": 0.5}, "ap", 0.5, [("ap", None)], [("ap", "high")], [0.5], ["ap"], [(0.5, "ap")], [("ap", 1, 2)]]
)
def test_what_is_no_pair_of_a_name_and_a_number_is_shown(found):
    class Odd:
        def __call__(self, predict):
            return found

    with pytest.raises(UserError) as caught:
        evaluation.measure([Good(), Odd()], None)
    shown = found[0] if isinstance(found, list) else found
    assert str(caught.value) == f"evaluators.1: Odd ({__file__}): expected pairs (name, number), received {shown!r}"
    assert evaluation.measure([Good(), Good()], None) == {"ap": 0.5, "ap.1": 0.5}


def assembled(kind, folder, *options):
    options = ["train.dataset.length=8", "train.batch_size=8", *options]
    config, world = load_config(QUICKSTART, options), World("cpu")
    config.arguments["evaluators"].value = [kind]
    return run.assemble(config, world, folder, build_model(config), run.open_data(config, world), {})


def test_before_the_first_step(tmp_path, caplog):
    with pytest.raises(UserError, match=r"evaluators\.0: Renamed \(.*test_evaluation.py\): expected a method __call__"):
        assembled(Renamed, tmp_path)
    assembled(Good, tmp_path)
    assert not [line for line in caplog.messages if "values()" in line]
    assembled(Good, tmp_path, "trainer.metric=app")
    line = "has no method values(), which lists the names that it yields: trainer.metric=app is checked at the first evaluation"
    assert f"evaluators.0: Good ({__file__}) {line}" in caplog.messages
