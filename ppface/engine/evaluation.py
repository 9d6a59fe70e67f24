"""Runs evaluators one after another and joins their values under unique names; checks their data and names before."""

import contextlib
import inspect
import reprlib
import sys
from collections.abc import Iterable
from typing import Any

from ppface.core.errors import DataError, UserError


def check(evaluators: list[Any], predict: Any) -> None:
    """Lets each evaluator that can look at its data before training; otherwise a missing file is found at its first evaluation.

    Raises:
        DataError: data that cannot be used; the message begins with the evaluator.
    """
    for place, evaluator in enumerate(evaluators):
        try:
            getattr(evaluator, "check", lambda predict: None)(predict)
        except DataError as error:
            raise DataError(f"evaluators.{place}: {type(evaluator).__name__}: {error}") from None


def check_methods(evaluators: list[Any]) -> None:
    """Raises UserError for an evaluator that cannot be called, or has something else in place of one of its other methods."""
    for place, evaluator in enumerate(evaluators):
        _check_methods(evaluator, place)


def _check_methods(evaluator: Any, place: int) -> None:
    wanted = {"__call__": "(self, predict), which yields pairs (name, value)", "check": "(self, predict)", "values": "(self)"}
    for method, signature in wanted.items():
        found = getattr(evaluator, method, None)
        if found is None and method != "__call__":
            continue
        if not callable(found):
            received = "there is none" if found is None else f"received {reprlib.repr(found)}"
            raise UserError(f"{_described(evaluator, place)}: expected a method {method}{signature}; {received}")
        with contextlib.suppress(ValueError):  # such as of a builtin function, which has no signature
            try:
                inspect.signature(found).bind(*[None] * (signature.count("predict")))
            except TypeError as error:
                raise UserError(f"{_described(evaluator, place)}: expected a method {method}{signature}: {error}") from None
    for attribute in ("values", "lower_is_better"):
        given: Any = getattr(evaluator, attribute, ())
        listed = given() if callable(given) else given
        if isinstance(listed, str) or not isinstance(listed, Iterable) or not all(isinstance(name, str) for name in listed):
            raise UserError(f"{_described(evaluator, place)}: expected a list of names as {attribute}, received {reprlib.repr(listed)}")


def _described(evaluator: Any, place: int) -> str:
    """The evaluator with its file, which may be of the user's own."""
    kind = type(evaluator)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return f"evaluators.{place}: {kind.__name__} ({file or kind.__module__})"


def nameless(evaluators: list[Any]) -> str:
    """The first evaluator without a method `values`, whose names are only known after an evaluation; empty if there is none."""
    return next((_described(evaluator, place) for place, evaluator in enumerate(evaluators) if not hasattr(evaluator, "values")), "")


def no_model(batch: dict) -> dict:
    """In place of a model, where the evaluators may need none, as those of stored embeddings; it raises UserError."""
    raise UserError("expected a model for these evaluators: give the folder of a run or an export, or a config with a model and weights")


def names(evaluators: list[Any]) -> list[str] | None:
    """The names of the values that `measure` can return; None if an evaluator has no method `values`, which lists those that it yields."""
    found: dict[str, None] = {}
    for place, evaluator in enumerate(evaluators):
        if not hasattr(evaluator, "values"):
            return None
        for name in evaluator.values():
            found[_unique(name, place, found)] = None
    return list(found)


def more_is_better(evaluators: list[Any], metric: str | None) -> bool:
    """Whether more of a value, None: of the first one, is better: unless its evaluator lists it in `lower_is_better`, as errors are."""
    better: dict[str, bool] = {}
    for place, evaluator in enumerate(evaluators):
        for name in getattr(evaluator, "values", list)():
            better[_unique(name, place, better)] = name not in getattr(evaluator, "lower_is_better", ())
    return better.get(metric or next(iter(better), ""), True)


def measure(evaluators: list[Any], predict: Any) -> dict[str, float]:
    """All values of all evaluators by name; a name that is already used gets the evaluator's position: "ap", then "ap.1".

    Raises:
        UserError: an evaluator that returns something else than pairs (name, value).
    """
    metrics: dict[str, float] = {}
    for place, evaluator in enumerate(evaluators):
        found = evaluator(predict)
        if isinstance(found, dict | str) or not hasattr(found, "__iter__"):
            raise _no_pair(evaluator, place, found)
        for pair in found:
            if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
                raise _no_pair(evaluator, place, pair)
            name, value = pair
            try:
                metrics[_unique(name, place, metrics)] = float(value)
            except (TypeError, ValueError):
                raise _no_pair(evaluator, place, pair) from None
    return metrics


def _no_pair(evaluator: Any, place: int, received: Any) -> UserError:
    return UserError(f"{_described(evaluator, place)}: expected pairs (name, number), received {reprlib.repr(received)}")


def _unique(name: str, place: int, taken: dict[str, Any]) -> str:
    return f"{name}.{place}" if name in taken else name
