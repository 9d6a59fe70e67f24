"""Runs evaluators one after another and joins their values under unique names; checks their data and names before."""

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
    """All values of all evaluators by name; a name that is already used gets the evaluator's position: "ap", then "ap.1"."""
    metrics: dict[str, float] = {}
    for place, evaluator in enumerate(evaluators):
        for name, value in evaluator(predict):
            metrics[_unique(name, place, metrics)] = float(value)
    return metrics


def _unique(name: str, place: int, taken: dict[str, Any]) -> str:
    return f"{name}.{place}" if name in taken else name
