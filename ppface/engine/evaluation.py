"""Runs evaluators one after another and joins their values under unique names."""

from typing import Any


def measure(evaluators: list[Any], predict: Any) -> dict[str, float]:
    """All values of all evaluators by name; a name that is already used gets the evaluator's position: "ap", then "ap.1"."""
    metrics: dict[str, float] = {}
    for place, evaluator in enumerate(evaluators):
        for name, value in evaluator(predict):
            metrics[f"{name}.{place}" if name in metrics else name] = float(value)
    return metrics
