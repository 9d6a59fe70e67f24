"""Resolution: every mistake of a config at once, each with its place, what was expected and the nearest right name."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
import yaml

from ppface.core import registry
from ppface.core.config import annotated_yaml, spec, yaml_tree
from ppface.core.errors import ConfigError
from ppface.core.registry import Kind, Supplied


class Box:
    def __init__(self, size: tuple[int, int], fill: float = 0.0):
        self.size, self.fill = size, fill


class Conv:
    def __init__(self, filters: list[list[int]], act: Literal["relu", "hard_swish"] = "relu", bias: bool = False):
        if not filters:
            raise ValueError("Conv: expected at least one filter, received none")
        self.filters, self.act, self.bias = filters, act, bias


class Margin:
    def __init__(
        self,
        in_channels: Annotated[list[int], Supplied("by the model")],
        class_num: Annotated[int, Supplied("by the data", writable=True)],
        m: float = 0.4,
        ratio: float | None = None,
    ):
        self.in_channels, self.class_num, self.m, self.ratio = in_channels, class_num, m, ratio


class Net:
    def __init__(
        self,
        box: Box,
        backbone: Annotated[Any, Kind("backbone")],
        head: Annotated[Callable[..., Any], Kind("head")],
        steps: list[Annotated[Any, Kind("backbone")]] | None = None,
        lr: float | Annotated[Any, Kind("backbone")] = 0.1,
        table: dict[str, int] | None = None,
    ):
        self.box, self.backbone, self.head, self.steps, self.lr, self.table = box, backbone, head, steps, lr, table


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """A registry of these toys alone."""
    monkeypatch.setattr(registry, "PACKAGES", dict.fromkeys(("run", "backbone", "head"), __name__))
    monkeypatch.setattr(registry, "_components", {"run": {"Net": Net}, "backbone": {"Conv": Conv}, "head": {"Margin": Margin}})
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__] if __name__ in sys.modules else object())


GOOD = """\
box: {size: [4, 5]}
backbone:
  name: Conv
  filters: [[1, 2], [3]]
head: {name: Margin, m: 1}
"""


def resolve(text: str, *overrides: str) -> spec.Spec:
    tree = yaml_tree.parse(text, "net.yml")
    for override in overrides:
        tree = yaml_tree._override(tree, override)
    return spec.resolve(tree, default="Net")


def mistakes(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(text, *overrides)
    return caught.value.mistakes


def test_a_right_config_becomes_calls_with_defaults_and_converted_types():
    net = resolve(GOOD, "backbone.bias=no", "lr=1", "table={a: 1}")()
    assert (net.box.size, net.box.fill, net.backbone.filters, net.backbone.bias, net.lr, net.table) == (
        (4, 5),
        0.0,
        [[1, 2], [3]],
        False,
        1.0,
        {"a": 1},
    )
    head = net.head(in_channels=[7], class_num=3, unknown="passed by")
    assert (head.in_channels, head.class_num, head.m, type(head.m)) == ([7], 3, 1.0, float)


def test_lists_and_unions_take_components():
    net = resolve(GOOD, "steps=[{name: Conv, filters: [[1]]}]", "lr={name: Conv, filters: [[2]]}")()
    assert net.steps[0].filters == [[1]]
    assert net.lr.filters == [[2]]


def test_ten_mistakes_are_ten_lines():
    text = """\
box: {size: [4, x], fil: 2}
backbone:
  name: Convv
  filtres: [[1, 2]]
head:
  name: Margin
  clas_num: 5
  m: high
  in_channels: [3]
  ratio: [1]
steps:
  - {name: Conv, filters: [1, 2], act: hardswish}
  - {filters: [[1]]}
lr: fast
tabel: {a: 1}
"""
    assert mistakes(text) == [
        "net.yml:1: box.size.1: expected a whole number, received 'x'",
        "net.yml:1: box.fil: Box has no argument 'fil'. Did you mean 'fill'?",
        "net.yml:3: backbone.name: there is no backbone 'Convv'. Did you mean 'Conv'?",
        "net.yml:4: backbone.filtres: Conv has no argument 'filtres'. Did you mean 'filters'?",
        "net.yml:2: backbone: Conv needs 'filters': a list of: a list of: a whole number",
        "net.yml:7: head.clas_num: Margin has no argument 'clas_num'. Did you mean 'class_num'?",
        "net.yml:8: head.m: expected a number, received 'high'",
        "net.yml:9: head.in_channels: 'in_channels' is supplied by the model: leave it out",
        "net.yml:10: head.ratio: expected a number or null, received [1]",
        "net.yml:12: steps.0.filters.0: expected a list of: a whole number, received 1",
        "net.yml:12: steps.0.filters.1: expected a list of: a whole number, received 2",
        "net.yml:12: steps.0.act: expected one of relu, hard_swish, received 'hardswish'. Did you mean 'hard_swish'?",
        "net.yml:13: steps.1: expected 'name: ...', one of Conv, received nothing (null)",
        "net.yml:14: lr: expected a number or a mapping that names a backbone, received 'fast'",
        "net.yml:15: tabel: a config has no argument 'tabel'. Did you mean 'table'?",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["box.size=[1]"], "-o box.size=[1]: box.size: expected a list [a whole number, a whole number], received 1 entries: [1]"),
        (["box.size=3"], "-o box.size=3: box.size: expected a list [a whole number, a whole number], received 3"),
        (["backbone.bias=1"], "-o backbone.bias=1: backbone.bias: expected true or false, received 1"),
        (["box.fill=true"], "-o box.fill=true: box.fill: expected a number, received True"),
        (["box="], "-o box=: box: expected a mapping (Box), received ''"),
        (["head=Margin"], "-o head=Margin: head: expected a head, a mapping with 'name', received 'Margin'"),
        (["head={name: Zebra}"], "-o head={name: Zebra}: head.name: there is no head 'Zebra'. Expected one of Margin."),
        (["head.m=.nan"], "-o head.m=.nan: head.m: expected a finite number, received nan"),
        (["head.m=-.inf"], "-o head.m=-.inf: head.m: expected a finite number, received -inf"),
        (["box.fill=1" + "0" * 309], f"-o box.fill=1{'0' * 309}: box.fill: expected a finite number, received 1{'0' * 56}..."),
        (["table={a: x}"], "-o table={a: x}: table.a: expected a whole number, received 'x'"),
    ],
)  # fmt: skip
def test_an_override_is_checked_like_a_file(overrides, message):
    assert mistakes(GOOD, *overrides) == [message]


@pytest.mark.parametrize("component", ["naem: Conv, filters: [[1]]", "type: Conv, filters: [[1]]", "Conv: {filters: [[1]]}"])
def test_a_misspelt_name_is_shown(component):
    key = component.partition(":")[0]
    expected = f"net.yml:1: backbone: expected 'name: ...', one of Conv, received the key '{key}' in its place"
    assert mistakes(f"backbone: {{{component}}}\n")[0] == expected


@pytest.mark.parametrize("key", ["naem", "Name", "type", "'name '"])
def test_a_misspelt_name_beside_the_name_of_a_base_file_is_shown(key):
    written = key.strip("'")
    message = f"backbone.{written}: Conv has no argument '{written}'. Did you mean 'name'?"
    assert mistakes(GOOD, f"backbone={{{key}: Conv}}") == [f"-o backbone={{{key}: Conv}}: {message}"]


def test_what_is_missing_is_named():
    assert mistakes("backbone: {name: Conv}\n") == [
        "net.yml:1: backbone: Conv needs 'filters': a list of: a list of: a whole number",
        "net.yml:1: box: a config needs 'box': a mapping (Box)",
        "net.yml:1: head: a config needs 'head': a mapping that names a head",
    ]


def test_a_constructors_refusal_names_its_place():
    with pytest.raises(ConfigError, match=r"^net.yml:2: backbone: Conv: expected at least one filter, received none$"):
        resolve(GOOD, "backbone.filters=[]")()


def test_a_supplied_value_that_was_written_must_agree():
    net = resolve(GOOD, "head.class_num=5")()
    assert net.head(in_channels=[1], class_num=5).class_num == 5
    with pytest.raises(ConfigError) as caught:
        net.head(in_channels=[1], class_num=6)
    assert str(caught.value) == "-o head.class_num=5: head.class_num: expected 6 (supplied by the data), received 5"
    with pytest.raises(ConfigError) as caught:
        resolve(GOOD)().head(in_channels=[1])
    assert (
        str(caught.value)
        == "net.yml:5: head.class_num: Margin needs 'class_num', and nothing supplies it: set it here (usually supplied by the data)"
    )


def test_the_resolved_config_resolves_to_itself():
    first = resolve(GOOD, "steps=[{name: Conv, filters: [[1]]}]")
    again = spec.resolve(yaml_tree.parse(yaml.safe_dump(first.plain()), "saved.yml"), default="Net")
    assert again.plain() == first.plain()
    assert first.plain()["head"] == {"name": "Margin", "m": 1.0, "ratio": None}


def test_every_line_reports_its_origin():
    lines = annotated_yaml.with_origins(resolve(GOOD, "head.m=0.5")).split("\n")
    assert [line.split("#")[1].strip() for line in lines if "m:" in line and "0.5" in line] == ["-o head.m=0.5"]
    assert any(line.startswith("  fill: 0.0") and line.endswith("# default") for line in lines)
    assert any(line.startswith("  filters: [[1, 2], [3]]") and line.endswith("# net.yml:4") for line in lines)


def test_facts_are_written_where_they_are_awaited_and_stay_in_the_plain_config():
    config = resolve(GOOD, "box.fill=2")
    config.supply({"class_num": 7, "fill": 9, "in_channels": [1]})  # fill is not supplied, in_channels not writable
    assert config.plain()["head"] == {"name": "Margin", "class_num": 7, "m": 1.0, "ratio": None} and config.plain()["box"]["fill"] == 2
    assert resolve(yaml.safe_dump(config.plain())).plain() == config.plain()
    head = config().head(in_channels=[4])
    assert (head.class_num, head.in_channels) == (7, [4])
    config.supply({"class_num": 7})


def test_facts_that_the_config_contradicts_are_one_line():
    with pytest.raises(ConfigError) as caught:
        resolve(GOOD.replace("m: 1", "class_num: 5")).supply({"class_num": 7})
    assert caught.value.mistakes == ["net.yml:5: head.class_num: expected 7 (supplied by the data), received 5"]
