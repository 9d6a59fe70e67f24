"""What of its config a run changed between two of its lives."""

from typing import Any

from ppface.core.run.log import log

FREE = {  # changes that decide no weight: where, how fast and how often
    "device", "processes", "output", "weights", "weight_names", "evaluators", "train.workers", "train.prefetch", "train.timeout",
    "trainer.log_every", "trainer.eval_every", "trainer.save_every", "trainer.save_steps", "trainer.keep", "trainer.metric",
    "trainer.higher_is_better", "trainer.failed_save",
}  # fmt: skip
PLACE = {"train.batch_size", "trainer.accumulate"}  # the place in the data is a number of steps of this many samples


def tell(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Warns of every value that can change what a resumed run learns; of an empty config nothing is known.

    Args:
        then: the config, with all defaults, that the checkpoint holds.
        now: the one to go on with.
    """
    for key, before, after in differences(then, now) if then else []:
        lost = "; samples of this epoch may come twice or not at all" if key in PLACE else ""
        log.warning("not as this run began: %s was %s, is %s: it will not end as it would have%s", key, before, after, lost)


def differences(then: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(key, then, now) of every value that differs, down to where one side has no such key."""
    if key in FREE or then == now:
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [*then, *(name for name in now if name not in then)]
        return [row for name in keys for row in differences(then.get(name), now.get(name), f"{key}.{name}".removeprefix("."))]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [row for i, (one, other) in enumerate(zip(then, now, strict=True)) for row in differences(one, other, f"{key}.{i}")]
    return [(key, then, now)]
