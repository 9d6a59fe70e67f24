"""Checks one value of a config against the annotation of the parameter that takes it."""

import inspect
import sys
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ppface.core import registry
from ppface.core.config.yaml_tree import Node
from ppface.core.files.home_folder import expand_home
from ppface.core.registry import Kind

_NO, _YES = ("no", "off", "n"), ("yes", "on", "y")
_SCALARS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", type(None): "null"}
FAILED = object()


def join(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)


def shown(node: Node) -> str:
    """A value for an error message, shortened to 60 characters."""
    if isinstance(node.value, dict):
        return "a mapping" if node.value else "an empty mapping"
    if node.value is None:
        return "nothing (null)"
    text = repr(node.plain())
    return text if len(text) <= 60 else text[:57] + "..."


def article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def describe(annotation: Any) -> str:
    """An annotation for an error message: "a number", "one of relu, hard_swish", "a mapping that names a backbone"."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind = next((mark for mark in args[1:] if isinstance(mark, Kind)), None)
        return f"a mapping that names {article(kind.kind)}" if kind else describe(args[0])
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args)
    if origin is Literal:
        return "one of " + ", ".join(str(arg) for arg in args)
    if origin is list:
        return f"a list of: {describe(args[0])}"
    if origin is tuple:
        return f"a list of: {describe(args[0])}" if args[-1] is ... else f"a list [{', '.join(describe(arg) for arg in args)}]"
    if origin is dict:
        return f"a mapping of names to: {describe(args[1])}"
    return _SCALARS.get(annotation) or f"a mapping ({getattr(annotation, '__name__', annotation)})"


class Check:
    """Collects every mistake while values are checked.

    Args:
        component: (Kind, Node, path, Check) -> Spec or None, for nested components.
        call: (class, node, path, Check) -> Spec or None, for nested classes without a name.
    """

    def __init__(self, component: Callable, call: Callable):
        self.mistakes: list[str] = []
        self._component, self._call = component, call

    def report(self, node: Node, path: str, what: str) -> None:
        self.mistakes.append(f"{node.origin}: {path}: {what}" if path else f"{node.origin}: {what}")

    def value(self, annotation: Any, node: Node, path: str) -> Any:
        """The value converted to the parameter's type, or FAILED after recording the mistakes."""
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotated(args, node, path)
        if origin in (Union, types.UnionType):
            return self._union(args, node, path, annotation)
        if origin in (list, tuple):
            return self._sequence(origin, args, node, path, annotation)
        if origin is dict and isinstance(node.value, dict):
            return {key: self.value(args[1], child, join(path, key)) for key, child in node.value.items()}
        if origin is Literal:
            return self._choice(args, node, path)
        if annotation in _SCALARS:
            return self._scalar(annotation, node, path)
        if inspect.isclass(annotation) and origin is None:
            return self._nested(annotation, node, path)
        return self._expected(annotation, node, path)

    def _expected(self, annotation: Any, node: Node, path: str) -> Any:
        self.report(node, path, f"expected {describe(annotation)}, received {shown(node)}")
        return FAILED

    def _annotated(self, args: tuple, node: Node, path: str) -> Any:
        kind = next((mark for mark in args[1:] if isinstance(mark, Kind)), None)
        if kind is None:
            return self.value(args[0], node, path)
        spec = self._component(kind, node, path, self)
        if spec is None:
            return FAILED
        spec.deferred = get_origin(args[0]) is Callable or args[0] is Callable
        return spec

    def _nested(self, cls: type, node: Node, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._expected(cls, node, path)
        return self._call(cls, node, path, self) or FAILED

    def _union(self, args: tuple, node: Node, path: str, annotation: Any) -> Any:
        """The first member that accepts the value; else the mistakes of the only member of the value's category (see `_same_category`)."""
        candidates = [arg for arg in args if _same_category(arg, node)]
        trials = []
        for arg in candidates:
            trial = Check(self._component, self._call)
            value = trial.value(arg, node, path)
            if not trial.mistakes:
                return value
            trials.append(trial)
        scalar = not isinstance(node.value, dict | list) and get_origin(candidates[0] if candidates else None) is not Literal
        if len(trials) == 1 and not scalar:
            self.mistakes += trials[0].mistakes
            return FAILED
        return self._expected(annotation, node, path)

    def _sequence(self, origin: type, args: tuple, node: Node, path: str, annotation: Any) -> Any:
        if not isinstance(node.value, list):
            return self._expected(annotation, node, path)
        items = args
        if origin is list or args[-1] is ...:
            items = (args[0],) * len(node.value)
        elif len(args) != len(node.value):
            self.report(node, path, f"expected {describe(annotation)}, received {len(node.value)} entries: {shown(node)}")
            return FAILED
        return origin(self.value(item, child, join(path, i)) for i, (item, child) in enumerate(zip(items, node.value, strict=True)))

    def _choice(self, choices: tuple, node: Node, path: str) -> Any:
        for choice in choices:
            if node.value == choice and type(node.value) is type(choice):
                return choice
        meant = registry.nearest(str(node.plain()), [str(choice) for choice in choices])
        advice = f". Did you mean '{meant}'?" if meant else ""
        self.report(node, path, f"expected one of {', '.join(str(c) for c in choices)}, received {shown(node)}{advice}")
        return FAILED

    def _scalar(self, wanted: type, node: Node, path: str) -> Any:
        value = node.value
        if wanted is float and type(value) in (int, float):
            if abs(value) <= sys.float_info.max:  # neither infinite, NaN nor an integer beyond the range of floats
                return float(value)
            self.report(node, path, f"expected a finite number, received {shown(node)}")
            return FAILED
        if type(value) is wanted:
            return expand_home(value) if isinstance(value, str) else value
        if wanted is bool and isinstance(value, str) and value.lower() in _NO + _YES:
            return value.lower() in _YES
        return self._expected(wanted, node, path)


def _same_category(annotation: Any, node: Node) -> bool:
    """Whether the annotation and the value are of one category: mapping, list, null or scalar."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated and any(isinstance(mark, Kind) for mark in args[1:]):
        return isinstance(node.value, dict)
    if origin is Annotated:
        return _same_category(args[0], node)
    if origin in (list, tuple):
        return isinstance(node.value, list)
    if origin is dict or (inspect.isclass(annotation) and annotation not in _SCALARS):
        return isinstance(node.value, dict)
    if annotation is type(None):
        return node.value is None
    return not isinstance(node.value, dict | list) and node.value is not None
