"""Evaluation as every caller does it: the values of all evaluators under names of their own."""

from typing import Any


def measure(evaluators: list[Any], predict: Any) -> dict[str, float]:
    """All values of all evaluators by name; a name that an earlier evaluator took gets the evaluator's place: "ap", then "ap.1"."""
    metrics: dict[str, float] = {}
    for place, evaluator in enumerate(evaluators):
        for name, value in evaluator(predict):
            metrics[f"{name}.{place}" if name in metrics else name] = float(value)
    return metrics
