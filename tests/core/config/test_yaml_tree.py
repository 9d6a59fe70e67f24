"""YAML trees: what merges, what replaces, and where a value says it was written."""

import os

import pytest

from ppface.core.config import yaml_tree
from ppface.core.errors import ConfigError


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return folder / "main.yml"


def mistakes(*args, **kwargs) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        yaml_tree.read(*args, **kwargs)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("-2.", -2.0), ("5", 5), ("0x10", 16), ("010", "010"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("true", True), ("no", "no"), ("On", "On"), ("2026-01-01", "2026-01-01"), ("null", None), ("~", None), ("None", "None"),
        ("'1'", "1"), ("[1, a]", [1, "a"]), ("{a: 1}", {"a": 1}), ("1e5", 100000.0), ("e5", "e5"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    got = yaml_tree.parse(f"x: {text}", "f.yml").plain()["x"]
    assert got == value
    assert type(got) is type(value)


def test_every_value_knows_its_line(tmp_path):
    tree = yaml_tree.read(write(tmp_path, main="a: 1\nb:\n  c: [1,\n   2]\n  d: x\n"))
    assert [tree.value["a"].origin.line, tree.value["b"].value["d"].origin.line, tree.value["b"].value["c"].value[1].origin.line] == [
        1,
        5,
        4,
    ]


def test_mappings_merge_lists_and_scalars_replace_and_another_name_replaces_the_component(tmp_path):
    base = "a: {x: 1, y: 2}\nlist: [1, 2, 3]\nnet: {name: A, depth: 3}\nsame: {name: A, depth: 3}\n"
    main = "_BASE_: base.yml\na: {y: 5}\nlist: [9]\nnet: {name: B, width: 1}\nsame: {width: 2}\n"
    tree = yaml_tree.read(write(tmp_path, base=base, main=main))
    assert tree.plain() == {
        "a": {"x": 1, "y": 5},
        "list": [9],
        "net": {"name": "B", "width": 1},
        "same": {"name": "A", "depth": 3, "width": 2},
    }
    assert str(tree.value["a"].value["x"].origin).endswith("base.yml:1")
    assert str(tree.value["a"].value["y"].origin).endswith("main.yml:2")


def test_a_list_of_bases_is_laid_in_order(tmp_path):
    tree = yaml_tree.read(write(tmp_path, one="a: 1\nb: 1\n", two="b: 2\nc: 2\n", main="_BASE_: [one.yml, two.yml]\nc: 3\n"))
    assert tree.plain() == {"a": 1, "b": 2, "c": 3}


def test_overrides_merge_reach_into_lists_and_keep_siblings(tmp_path):
    path = write(tmp_path, main="t: [{name: A, p: 1}, {name: B, p: 2}]\nm: {name: N, k: 1, j: 2}\n")
    tree = yaml_tree.read(path, ["t.1.p=0.5", "m.k=7", "new.key=[1, 2]", "t.0={q: 3}"])
    assert tree.plain() == {
        "t": [{"name": "A", "p": 1, "q": 3}, {"name": "B", "p": 0.5}],
        "m": {"name": "N", "k": 7, "j": 2},
        "new": {"key": [1, 2]},
    }
    assert str(tree.value["m"].value["k"].origin) == "-o m.k=7"
    assert yaml_tree.read(path, ["m.name=Other"]).plain()["m"] == {"name": "Other"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a", "-o a: expected KEY=VALUE, such as train.batch_size=16 or evaluators.0.batch_size=4"),
        ("=1", "-o =1: expected KEY=VALUE, such as train.batch_size=16 or evaluators.0.batch_size=4"),
        ("l.5=1", "-o l.5=1: l.5: expected an index 0..1 into this list, received '5'"),
        ("l.x=1", "-o l.x=1: l.x: expected an index 0..1 into this list, received 'x'"),
        ("s.t=1", "-o s.t=1: s.t: 's' is 3, which has no keys"),
        ("s=[1", "-o s=[1: this is not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_a_wrong_override_says_what_was_expected(tmp_path, override, message):
    assert mistakes(write(tmp_path, main="l: [1, 2]\ns: 3\n"), [override]) == [message]


def test_an_override_fills_what_is_null_or_absent(tmp_path):
    path = write(tmp_path, main="model: {neck: null}\n")
    tree = yaml_tree.read(path, ["model.neck.name=Pyramid", "model.neck.depth=2", "model.post.top=3"])
    assert tree.plain() == {"model": {"neck": {"name": "Pyramid", "depth": 2}, "post": {"top": 3}}}


def test_all_wrong_overrides_are_named_at_once(tmp_path):
    path = write(tmp_path, main="l: [1, 2]\ns: 3\n")
    assert mistakes(path, ["l.5=1", "s=4", "s.t=1"]) == [
        "-o l.5=1: l.5: expected an index 0..1 into this list, received '5'",
        "-o s.t=1: s.t: 's' is 4, which has no keys",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "main.yml:3: this is not valid YAML: the key 'a' occurs twice in one mapping (first in line 1)"),
        ("a: [1\nb: 2\n", "main.yml:2: this is not valid YAML: expected ',' or ']', but got ':'"),
        ("a: !!python/object:os.system x\n", "main.yml:1: this is not valid YAML: could not determine a constructor for the tag"),
        ("a: &x 1\nb: *x\n", "main.yml:1: this is not valid YAML: found 'x': aliases and anchors are not part of the config language"),
        ("a: 1\nb: \0\n", "main.yml:2: this is not valid YAML: unexpected character '\\x00'"),
        ("- 1\n", "main.yml: expected a mapping of keys to values, received [1]"),
        (
            "words " * 50,
            "main.yml: expected a mapping of keys to values, received 'words words words words words words words words words words",
        ),
        ("? [1, 2]\n: 3\n", "main.yml:1: this is not valid YAML: expected a string as key"),
        ("_BASE_: 3\n", "main.yml:1: _BASE_: expected a path or a list of paths, received 3"),
        ("a: " + "[" * 5000, "main.yml: this is not a config: its values are nested too deeply"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, message):
    (found,) = mistakes(write(tmp_path, main=text))
    assert found.removeprefix(f"{tmp_path}/").startswith(message)


def test_a_byte_that_is_not_utf8_is_written_in_double_quotes(tmp_path):
    path = write(tmp_path, main="a: 1\n")
    stands_for = "in a value in double quotes, this stands for a byte of a file name that is not UTF-8"
    told = f"-o a=b\udcc4: this is not valid YAML: unexpected character '\\udcc4': {stands_for}"
    assert mistakes(path, [f"a=b{os.fsdecode(bytes([0xC4]))}"]) == [told]
    assert yaml_tree.read(path, [r'a="b\udcc4"']).plain() == {"a": os.fsdecode(b"b\xc4")}


def test_a_config_in_another_encoding_says_what_to_do(tmp_path):
    (tmp_path / "main.yml").write_bytes("output: Läufe\n".encode("latin-1"))
    expected = "expected a YAML file in UTF-8, received another encoding: save it as UTF-8"
    assert mistakes(tmp_path / "main.yml") == [f"{tmp_path}/main.yml: {expected}"]


def test_missing_files_and_cycles_are_named(tmp_path):
    path = write(tmp_path, main="_BASE_: gone.yml\n", one="_BASE_: two.yml\n", two="_BASE_: one.yml\n")
    assert mistakes(path) == [f"{tmp_path}/gone.yml: cannot read this config (a _BASE_ of {path}): No such file or directory"]
    (cycle,) = mistakes(tmp_path / "one.yml")
    assert cycle == f"{tmp_path}/one.yml: _BASE_ files form a cycle: {tmp_path}/one.yml -> {tmp_path}/two.yml -> {tmp_path}/one.yml"
