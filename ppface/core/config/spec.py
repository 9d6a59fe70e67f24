"""Checks a tree of values against constructors: `resolve` reports every mistake, the `Spec` that it returns builds the component."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppface.core import registry
from ppface.core.config import value_check, yaml_tree
from ppface.core.config.yaml_tree import Node, Origin
from ppface.core.errors import ConfigError
from ppface.core.registry import Kind, Supplied

DEFAULT = Origin("default")


@dataclass
class Parameter:
    """One parameter of a component's constructor: what its annotation and default say."""

    name: str
    annotation: Any
    default: Any
    supplied: Supplied | None

    @property
    def writable(self) -> bool:
        return self.supplied is None or self.supplied.writable

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty and self.supplied is None


def parameters(target: Callable) -> dict[str, Parameter]:
    """The constructor's signature as the schema of a mapping.

    Raises:
        TypeError: a parameter without annotation (the component's mistake, not the user's).
    """
    function = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(function, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name not in hints:
            raise TypeError(f"{target.__module__}.{target.__qualname__}: parameter '{name}' has no annotation")
        marks = getattr(hints[name], "__metadata__", ())
        supplied = next((mark for mark in marks if isinstance(mark, Supplied)), None)
        found[name] = Parameter(name, hints[name], parameter.default, supplied)
    return found


@dataclass
class Argument:
    """A checked value (plain, a Spec, or a list of Specs) and where it was written."""

    value: Any
    origin: Origin


@dataclass
class Spec:
    """A checked call: `spec()` builds the component, `spec(in_channels=...)` with what the parent supplies.

    Attributes:
        target: the class or factory.
        arguments: name -> Argument, defaults included; supplied parameters only where YAML writes them.
        path: its position in the config, `model.head`.
        origin: where it was written.
        deferred: the parent receives this Spec itself, as a factory.
        named: whether the component has a name in the registry (a plain nested class has none).
    """

    target: Callable
    arguments: dict[str, Argument]
    path: str
    origin: Origin
    deferred: bool = False
    named: bool = True

    def __call__(self, **supplied: Any) -> Any:
        known = parameters(self.target)
        values = {name: _built(argument.value) for name, argument in self.arguments.items()}
        for name, value in supplied.items():
            mark = known[name].supplied if name in known else None
            if mark is None:
                continue
            self._check_agrees(name, value, mark)
            values[name] = value
        for name, parameter in known.items():
            if name not in values and parameter.default is inspect.Parameter.empty:
                raise self._lacks(name)
        try:
            return self.target(**values)
        except ValueError as error:
            raise ConfigError([f"{self.origin}: {self.path}: {error}"]) from error

    def _lacks(self, name: str) -> ConfigError:
        mark = parameters(self.target)[name].supplied
        usually = f" (usually supplied {mark.by})" if mark else ""
        what = f"{self.target.__name__} needs '{name}', and nothing supplies it: set it here{usually}"
        return ConfigError([f"{self.origin}: {self._at(name)}: {what}"])

    def supply(self, facts: dict[str, Any], by: str = "by the data") -> None:
        """Sets the parameters that are supplied `by` this and writable, in this call and all nested ones, so that `plain()` includes them.

        Raises:
            ConfigError: the config sets another value, or neither sets nor is supplied one.
        """
        known = parameters(self.target)
        for name, parameter in known.items():
            if not (parameter.supplied and parameter.writable and parameter.supplied.by == by):
                continue
            if name in facts:
                self._check_agrees(name, facts[name], parameter.supplied)
                self.arguments[name] = Argument(facts[name], Origin(f"supplied {parameter.supplied.by}"))
            elif name not in self.arguments:
                raise self._lacks(name)
        self.arguments = {name: self.arguments[name] for name in known if name in self.arguments}
        for argument in self.arguments.values():
            for spec in nested(argument.value):
                spec.supply(facts, by)

    def replace(self, source: str, **values: Any) -> None:
        """Sets plain arguments of this call, as an option of the command line does.

        Args:
            source: the option, for messages.
            values: valid ones.
        """
        self.arguments |= {name: Argument(value, Origin(source)) for name, value in values.items()}

    def _check_agrees(self, name: str, value: Any, mark: Supplied) -> None:
        argument = self.arguments.get(name)
        if argument is not None and argument.value != value:
            written = f"{argument.origin}: {self._at(name)}"
            raise ConfigError([f"{written}: expected {value!r} (supplied {mark.by}), received {argument.value!r}"])

    def __getitem__(self, name: str) -> Any:
        """The checked value of one argument: `config["model"]["backbone"]`."""
        return self.arguments[name].value

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def plain(self) -> dict[str, Any]:
        """The resolved call as plain values, with all defaults: dumped as YAML it resolves to the same call."""
        return self.tree().plain()

    def tree(self) -> Node:
        """The resolved call as a tree, with all defaults and where each value was written."""
        head = {"name": Node(self.target.__name__, self.origin)} if self.named else {}
        return Node(head | {name: _node(argument.value, argument.origin) for name, argument in self.arguments.items()}, self.origin)


def _built(value: Any) -> Any:
    if isinstance(value, Spec):
        return value if value.deferred else value()
    if isinstance(value, list | tuple):
        return type(value)(_built(item) for item in value)
    if isinstance(value, dict):
        return {key: _built(item) for key, item in value.items()}
    return value


def nested(value: Any) -> list[Spec]:
    """The Specs directly in a value, without those nested in them."""
    if isinstance(value, Spec):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [spec for item in items for spec in nested(item)]


def _node(value: Any, origin: Origin) -> Node:
    if isinstance(value, Spec):
        return value.tree()
    if isinstance(value, list | tuple):
        return Node([_node(item, origin) for item in value], origin)
    if isinstance(value, dict):
        return Node({key: _node(item, origin) for key, item in value.items()}, origin)
    return Node(value, origin)


def resolve(tree: Node, kind: str = "run", default: str = "Run") -> Spec:
    """Checks every key, type and name of a config and returns it as a call tree; builds nothing.

    Raises:
        ConfigError: with every mistake of the config, in the order of the file.
    """
    check = value_check.Check(component, call)
    spec = component(Kind(kind, default), tree, "", check)
    if check.mistakes:
        raise ConfigError(check.mistakes)
    assert spec is not None
    spec.named = False  # the whole config is the call of Run: it has no `name`
    return spec


def component(kind: Kind, node: Node, path: str, check: value_check.Check) -> Spec | None:
    """The mapping of one component as a Spec, or None after recording its mistakes."""
    if not isinstance(node.value, dict):
        mapping = f"a mapping with the arguments of {kind.default}" if kind.default else "a mapping with 'name'"
        check.report(node, path, f"expected {value_check.article(kind.kind)}, {mapping}, received {value_check.shown(node)}")
        return None
    name_node = node.value.get("name", Node(kind.default, node.origin))
    name = name_node.value
    if not isinstance(name, str):
        expected = f"expected 'name: ...', one of {', '.join(registry.names(kind.kind))}"
        others = {key: child.value for key, child in node.value.items() if key != "name"}
        misspelt = next((key for key, value in others.items() if registry.is_name(kind.kind, str(key), value)), None)
        received = f"the key '{misspelt}' in its place" if misspelt else value_check.shown(name_node)
        check.report(name_node, path, f"{expected}, received {received}")
        return None
    target = registry.find(kind.kind, name)
    if target is None:
        choices = registry.names(kind.kind)
        meant = registry.nearest(name, choices)
        advice = f"Did you mean '{meant}'?" if meant else f"Expected one of {', '.join(choices)}."
        check.report(name_node, value_check.join(path, "name"), f"there is no {kind.kind} '{name}'. {advice}")
        target = registry.find(kind.kind, meant) if meant else None
        if target is None:
            return None  # otherwise the arguments are checked too, against the component with the similar name
    return call(target, node, path, check, kind.kind)


def call(target: Callable, node: Node, path: str, check: value_check.Check, kind: str | None = None) -> Spec | None:
    """The mapping of one constructor's arguments as a Spec, with every mistake recorded in `check`.

    Args:
        kind: of a component, whose mapping may have a `name`; None: a nested class.
    """
    named = kind is not None
    known = parameters(target)
    before = len(check.mistakes)
    written = {key: child for key, child in node.value.items() if not (named and key == "name")}
    who = target.__name__ if path else "a config"
    takes = [name for name, parameter in known.items() if parameter.writable]
    arguments: dict[str, Argument] = {}
    for key, child in written.items():
        if key not in known:
            meant = "name" if kind and registry.is_name(kind, str(key), child.value, takes) else registry.nearest(key, takes)
            advice = f"Did you mean '{meant}'?" if meant else f"It takes {', '.join(takes) or 'no arguments'}."
            check.report(child, value_check.join(path, key), f"{who} has no argument '{key}'. {advice}")
            continue
        supplied = known[key].supplied
        if supplied and not supplied.writable:
            check.report(child, value_check.join(path, key), f"'{key}' is supplied {supplied.by}: leave it out")
            continue
        value = check.value(known[key].annotation, child, value_check.join(path, key))
        arguments[key] = Argument(value, child.origin)
    for name, parameter in known.items():
        if name in arguments or name in written:
            continue
        if parameter.required:
            check.report(node, path or name, f"{who} needs '{name}': {value_check.describe(parameter.annotation)}")
        elif parameter.supplied is None:
            arguments[name] = Argument(parameter.default, DEFAULT)
    ordered = {name: arguments[name] for name in known if name in arguments}
    return Spec(target, ordered, path, node.origin, named=named) if len(check.mistakes) == before else None


def load_config(path: str | Path | Spec, overrides: list[str] | tuple[str, ...] = ()) -> Spec:
    """Reads, merges and checks a config file.

    Args:
        path: a YAML file, or a config that was checked before.
        overrides: `a.b.0.c=value` each, checked exactly like a file.

    Returns:
        The checked config: `config["model"]["backbone"]` returns a part, `config.plain()` all of it as plain values.

    Raises:
        ConfigError: with every mistake at once, each with file:line.
    """
    if isinstance(path, Spec):
        return resolve(yaml_tree.override(path.tree(), overrides)) if overrides else path
    return resolve(yaml_tree.read(path, overrides))


def build_model(config: str | Path | Spec) -> Any:
    """The `nn.Layer` that a config, checked or in a file, describes, with fresh weights.

    Raises:
        ConfigError: no model in the config, an argument that its constructor rejects, or channels that do not match.
    """
    config = load_config(config)
    if config["model"] is None:
        raise ConfigError([f"{config.origin}: model: expected a model in this config, found none"])
    return config["model"]()
