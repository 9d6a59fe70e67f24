"""YAML files, `_BASE_` files and `-o` overrides as one tree that records where every value was written."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ppface.core.errors import ConfigError
from ppface.core.files import shipped
from ppface.core.files.file_names import to_unicode
from ppface.core.files.home_folder import expand_home

BASE = "_BASE_"


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file and its line, an override as it was typed, or a default (no line)."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass
class Node:
    """One value of the tree. `value` is a scalar, a dict of names to Nodes or a list of Nodes."""

    value: Any
    origin: Origin

    def plain(self) -> Any:
        """The same tree as plain Python values."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2: `1e-3` is a float; yes, no, on, off and dates are strings."""

    yaml_implicit_resolvers: dict = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            advice = "aliases and anchors are not part of the config language: write the value out, or share it through _BASE_"
            raise yaml.composer.ComposerError(None, None, f"found '{event.anchor}': {advice}", event.start_mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf)$|^\.nan$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def parse(text: str, source: str, one_line: bool = False) -> Node:
    """YAML text -> tree.

    Args:
        text: one YAML document.
        source: the name given in messages.
        one_line: leave line numbers out (overrides).

    Raises:
        ConfigError: broken YAML, duplicate keys, aliases, tags beyond plain YAML.
    """
    loader = None
    try:
        loader = _Loader(text)
        loader.name = source
        root = loader.get_single_node()
        origin = Origin(source, None if one_line else 1)
        return Node({}, origin) if root is None else _convert(root, loader, source, one_line)
    except yaml.reader.ReaderError as error:
        line = "" if one_line else f":{text.count(chr(10), 0, error.position) + 1}"
        byte = 0xDC80 <= error.character <= 0xDCFF  # of a file name, see core/files/file_names.py
        advice = ": in a value in double quotes, this stands for a byte of a file name that is not UTF-8" if byte else ""
        message = f"this is not valid YAML: unexpected character {chr(error.character)!r}{advice}"
        raise ConfigError([f"{source}{line}: {message}"]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([_describe(error, source, one_line)]) from error
    except RecursionError as error:
        raise ConfigError([f"{source}: this is not a config: its values are nested too deeply"]) from error
    finally:
        if loader is not None:
            loader.dispose()


def _describe(error: Exception, source: str, one_line: bool) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = source if mark is None or one_line else f"{source}:{mark.line + 1}"
    problem = getattr(error, "problem", None) or str(error).split("\n")[0]
    return f"{where}: this is not valid YAML: {problem}"


def _convert(node: yaml.Node, loader: _Loader, source: str, one_line: bool) -> Node:
    origin = Origin(source, None if one_line else node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(child, loader, source, one_line) for child in node.value], origin)
    if isinstance(node, yaml.MappingNode):
        children: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise yaml.constructor.ConstructorError(None, None, "expected a string as key", key_node.start_mark)
            if key in children:
                first = children[key].origin.line
                problem = f"the key '{key}' occurs twice in one mapping" + ("" if one_line else f" (first in line {first})")
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            child = _convert(value_node, loader, source, one_line)
            child.origin = Origin(source, None if one_line else key_node.start_mark.line + 1)
            children[key] = child
        return Node(children, origin)
    return Node(loader.construct_object(node), origin)


def merge(base: Node, over: Node) -> Node:
    """`base` overridden by `over`: mappings merge, lists and scalars replace, and a different `name` replaces the whole component."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    if "name" in over.value and "name" in base.value and over.value["name"].value != base.value["name"].value:
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return Node(merged, over.origin)


def read(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Node:
    """One config file with its `_BASE_` files and overrides, as one tree; nothing is checked against a schema yet.

    Args:
        path: a YAML file, or the name of a config that comes with ppface, see `shipped.locate`.
        overrides: `a.b.0.c=value` each, the value in YAML.

    Raises:
        ConfigError: a file that is missing or broken, a `_BASE_` cycle, or overrides of another form (all of them are listed).
    """
    return override(_read_file(shipped.locate(path, shipped.configs), ()), overrides)


def override(tree: Node, overrides: list[str] | tuple[str, ...]) -> Node:
    """A tree with overrides; see `read`."""
    mistakes: list[str] = []
    for text in overrides:
        try:
            tree = _override(tree, text)
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return tree


def _read_file(path: Path, above: tuple[Path, ...]) -> Node:
    if path.resolve() in [p.resolve() for p in above]:
        raise ConfigError([f"{path}: _BASE_ files form a cycle: {' -> '.join(str(p) for p in (*above, path))}"])
    included = f" (a _BASE_ of {above[-1]})" if above else ""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        advice = "" if path.exists() else shipped.advice(path, shipped.configs())
        raise ConfigError([f"{path}: cannot read this config{included}: {error.strerror}{advice}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: expected a YAML file in UTF-8{included}, received another encoding: save it as UTF-8"]) from error
    tree = parse(text, str(path))
    if not isinstance(tree.value, dict):
        raise ConfigError([f"{path}: expected a mapping of keys to values, received {repr(tree.plain())[:60]}"])
    base = tree.value.pop(BASE, None)
    if base is None:
        return tree
    bases = base.value if isinstance(base.value, list) else [base]
    if wrong := [b for b in bases if not isinstance(b.value, str)]:
        raise ConfigError([f"{wrong[0].origin}: {BASE}: expected a path or a list of paths, received {wrong[0].plain()!r}"])
    merged = Node({}, tree.origin)
    for one in bases:
        merged = merge(merged, _read_file(_base_file(path.parent, one.value), (*above, path)))
    return merge(merged, tree)


def _base_file(folder: Path, written: str) -> Path:
    """The file of a `_BASE_`: relative to its config's folder, or a config that comes with ppface."""
    path = Path(os.path.normpath(folder / expand_home(written)))
    return path if path.exists() else shipped.named(written, shipped.configs()) or path


def _override(tree: Node, text: str) -> Node:
    source = f"-o {text}"
    key, equals, value = to_unicode(text).partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError([f"{source}: expected KEY=VALUE, such as train.batch_size=16 or evaluators.0.batch_size=4"])
    return _put(tree, steps, parse(value, source, one_line=True) if value.strip() else Node("", Origin(source)), source, ())


def _put(node: Node, steps: list[str], leaf: Node, source: str, done: tuple[str, ...]) -> Node:
    if not steps:
        return merge(node, leaf)
    step, rest = steps[0], steps[1:]
    path = ".".join((*done, step))
    if isinstance(node.value, list):
        if not step.isdecimal() or int(step) >= len(node.value):
            raise ConfigError([f"{source}: {path}: expected an index 0..{len(node.value) - 1} into this list, received '{step}'"])
        items = list(node.value)
        items[int(step)] = _put(items[int(step)], rest, leaf, source, (*done, step))
        return Node(items, node.origin)
    if node.value is None:
        node = Node({}, node.origin)  # such as `neck: null` of a resolved config: the override adds the first key
    if isinstance(node.value, dict):
        child = node.value.get(step, Node(None, Origin(source)))
        return merge(node, Node({step: _put(child, rest, leaf, source, (*done, step))}, node.origin))
    raise ConfigError([f"{source}: {path}: '{'.'.join(done)}' is {node.plain()!r}, which has no keys"])
