"""The types in the state of a checkpoint: a digest proves that it was not changed since, not that this program wrote it."""

import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppface.core.errors import WeightsError

DIGESTS = "sha256"  # file name -> digest of its content


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _window(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == {"steps", "sums"} and isinstance(value["sums"], dict)
    return value is None or (known and _whole(value["steps"]) and all(map(_number, value["sums"].values())))


def _networks(value: Any) -> bool:
    def fits(origin: Any) -> bool:
        return isinstance(origin, dict) and all(type(origin.get(key)) is str for key in ("source", "sha256"))

    return isinstance(value, dict) and all(map(fits, value.values()))


def _classes(value: Any) -> bool:
    return isinstance(value, dict) and _whole(value.get("count")) and type(value.get("sha256")) is str


def _selected(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == {"epoch", "order"} and isinstance(value["order"], list)
    return value is None or (known and _whole(value["epoch"]) and all(map(_whole, value["order"])))


EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {  # the keys that the program reads; all others are information for people
    DIGESTS: ("a mapping of file names to texts", lambda value: isinstance(value, dict) and all(type(v) is str for v in value.values())),
    "step": ("a whole number of at least 0", _whole),
    "best_step": ("a whole number of at least 0 or null", lambda value: value is None or _whole(value)),
    "best": ("a number or null", lambda value: value is None or _number(value)),
    "ema_updates": ("a whole number of at least 0", _whole),
    "owes_evaluation": ("true or false", lambda value: type(value) is bool),
    "log_window": ("null or a mapping of steps, a whole number, and sums, a mapping of names to numbers", _window),
    "scaler": (
        "a mapping of names to numbers",
        lambda value: isinstance(value, dict) and all(_number(v) or type(v) is bool for v in value.values()),
    ),
    "frozen": ("a mapping of networks to their source and sha256", _networks),
    "selected": ("null or a mapping of epoch, a whole number, and order, whole numbers", _selected),
    "classes": ("a mapping of count, a whole number, and sha256, a text", _classes),
    "config": ("a mapping", lambda value: isinstance(value, dict)),
}


def check(state: Any, file: Path) -> None:
    """Raises WeightsError for a value of another type than the program writes. `environment` is checked where it is read."""
    if not isinstance(state, dict):
        raise WeightsError(f"{file}: expected the state of a checkpoint, a mapping, received {reprlib.repr(state)}")
    for key, (expected, is_valid) in EXPECTED.items():
        if key in state and not is_valid(state[key]):
            types = f"expected {expected}, received {reprlib.repr(state[key])}"
            raise WeightsError(f"{file}: {key}: {types}; ppface did not write this state: use another checkpoint")
