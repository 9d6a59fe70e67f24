"""Runs evaluators one after another and joins their values under unique names; checks their data before."""

from typing import Any

from ppface.core.errors import DataError


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


def measure(evaluators: list[Any], predict: Any) -> dict[str, float]:
    """All values of all evaluators by name; a name that is already used gets the evaluator's position: "ap", then "ap.1"."""
    metrics: dict[str, float] = {}
    for place, evaluator in enumerate(evaluators):
        for name, value in evaluator(predict):
            metrics[f"{name}.{place}" if name in metrics else name] = float(value)
    return metrics
