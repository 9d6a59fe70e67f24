"""What a resumed run changed in its config since the checkpoint was written."""

from typing import Any

import yaml

from ppface.core.config.spec import resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import ConfigError
from ppface.core.run.log import log

NO_EFFECT = {  # changes that do not affect the weights: where, how fast and how often
    "device", "processes", "output", "weights", "weight_names", "evaluators", "train.workers", "train.prefetch", "train.timeout",
    "trainer.log_every", "trainer.eval_every", "trainer.save_every", "trainer.save_steps", "trainer.keep", "trainer.metric",
    "trainer.higher_is_better", "trainer.failed_save",
}  # fmt: skip
POSITION_UNITS = {"train.batch_size", "trainer.accumulate"}  # the position in the data is a number of steps of this many samples


def warn(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Warns of every value that can change what a resumed run learns; an empty `then` is not compared.

    Args:
        then: the config, with all defaults, that the checkpoint holds.
        now: the config to resume with.
    """
    for key, before, after in differences(_with_new_defaults(then), now) if then else []:
        lost = "; samples of this epoch may come twice or not at all" if key in POSITION_UNITS else ""
        consequence = "results will differ from an uninterrupted run"
        log.warning("resuming with a changed config: %s was %s, is %s: %s%s", key, before, after, consequence, lost)


def _with_new_defaults(then: dict[str, Any]) -> dict[str, Any]:
    """A recorded config with the defaults of parameters that were added since; as it is where it is no longer valid."""
    try:
        return resolve(parse(yaml.safe_dump(then), "the checkpoint's config")).plain()
    except (ConfigError, yaml.YAMLError):
        return then


def differences(then: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(key, then, now) of every value that differs, down to where one side has no such key."""
    if key in NO_EFFECT or then == now:
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [*then, *(name for name in now if name not in then)]
        return [row for name in keys for row in differences(then.get(name), now.get(name), f"{key}.{name}".removeprefix("."))]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [row for i, (one, other) in enumerate(zip(then, now, strict=True)) for row in differences(one, other, f"{key}.{i}")]
    return [(key, then, now)]
