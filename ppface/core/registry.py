"""The registry of components: a kind ("loss") and a name ("SSDLoss") give a class or an annotated factory."""

import difflib
import functools
import importlib
import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PACKAGES = {  # kind -> the package that imports every component of that kind
    "run": "ppface.engine.run",
    "model": "ppface.nets.model",
    "backbone": "ppface.nets.backbones",
    "neck": "ppface.nets.necks",
    "head": "ppface.nets.heads",
    "branch": "ppface.nets.heads",
    "loss": "ppface.losses",
    "network": "ppface.predict.frozen_model",
    "post": "ppface.post",
    "overlap": "ppface.post",
    "optimizer": "ppface.optim",
    "schedule": "ppface.optim",
    "loader": "ppface.data",
    "trainer": "ppface.engine.trainer",
    "dataset": "ppface.data",
    "sampler": "ppface.data",
    "transform": "ppface.data.transforms",
    "pairs": "ppface.data.pairs",
    "evaluator": "ppface.evaluators",
    "augmented_test": "ppface.evaluators",
}
_components: dict[str, dict[str, Callable]] = {kind: {} for kind in PACKAGES}


@dataclass(frozen=True)
class Kind:
    """Marks a parameter, in its annotation, that takes a component.

    `backbone: Annotated[nn.Layer, Kind("backbone")]` receives the built component;
    `neck: Annotated[Callable[..., nn.Layer], Kind("neck")]` receives a factory, to be called with what the parent supplies.

    Args:
        kind: a key of PACKAGES.
        default: the component of a mapping without `name`.
    """

    kind: str
    default: str | None = None


@dataclass(frozen=True)
class Supplied:
    """Marks a parameter, in its annotation, that the parent supplies: `in_channels: Annotated[list[int], Supplied("by the model")]`.

    Args:
        by: what supplies it, for messages.
        writable: YAML may set it too, to the value that is supplied.
    """

    by: str
    writable: bool = False


def register(kind: str) -> Callable:
    """Class or function decorator: the component becomes `{name: <its __name__>}` of that kind in every config, and refuses arguments that
    are not finite, as configs do, also where Python calls it."""
    assert kind in PACKAGES, f"unknown kind {kind!r}"

    def add(component: Callable) -> Callable:
        name = component.__name__
        assert _components[kind].get(name, component).__module__ == component.__module__, f"two components are called {name}"
        if not inspect.isclass(component):
            component = _finite(component, 0)
        elif "__init__" in vars(component):
            component.__init__ = _finite(component.__init__, 1)  # type: ignore[method-assign]
        _components[kind][name] = component
        return component

    return add


def _finite(build: Callable, own: int) -> Callable:
    """A constructor that raises a ValueError for NaN and infinity, which would pass a comparison such as `m < 0`.

    Args:
        build: the function.
        own: 1 if its first argument is the component, 0 if it has no such argument.
    """
    names = list(inspect.signature(build).parameters)

    @functools.wraps(build)
    def checked(*args: Any, **named: Any) -> Any:
        for name, value in (*zip(names[own:], args[own:], strict=False), *named.items()):
            if name in names and not _is_finite(value):
                who = type(args[0]).__name__ if own else build.__name__
                raise ValueError(f"{who}: expected finite numbers, received {name}={value}")
        return build(*args, **named)

    return checked


def _is_finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return isinstance(value, int) or not isinstance(value, numbers.Real) or math.isfinite(value)


def names(kind: str) -> list[str]:
    """All names of one kind, sorted."""
    importlib.import_module(PACKAGES[kind])
    return sorted(_components[kind])


def find(kind: str, name: str) -> Callable | None:
    """The component, or None if no component of that kind has that name."""
    importlib.import_module(PACKAGES[kind])
    return _components[kind].get(name)


def nearest(word: str, choices: list[str]) -> str | None:
    """The choice most similar to `word`, ignoring case, or None if none is similar enough."""
    folded = {choice.lower(): choice for choice in choices}
    match = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def is_name(kind: str, key: str, value: object, others: list[str] | None = None) -> bool:
    """Whether a key that a component does not have was meant as its `name`: it is spelt like it, or key or value name a component.

    Args:
        kind: of the component.
        key: as written, not "name".
        value: as written.
        others: arguments of the component, which the key may be closer to.
    """
    known = names(kind)
    return key in known or value in known or nearest(key.strip(), ["name", *(others or [])]) == "name"
