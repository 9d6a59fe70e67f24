"""What components find wrong in a checked config before anything is built: files that are not there, values that do not fit together."""

from collections.abc import Iterator

from ppface.core.config.spec import Spec, nested
from ppface.core.errors import UserError


def contradictions(config: Spec) -> list[str]:
    """The mistakes that components report by `check_config(own, config)`, a static method that raises a UserError or a ValueError. It gets
    the component's call and the whole config, and has to be fast: `ppface check` calls it for every config, without data and model."""
    mistakes = []
    for own in _calls(config):
        if check := getattr(own.target, "check_config", None):
            try:
                check(own, config)
            except (UserError, ValueError, OSError) as error:
                mistakes.append(f"{own.origin}: {own.path}: {error}")
    return mistakes


def _calls(spec: Spec) -> Iterator[Spec]:
    yield spec
    for argument in spec.arguments.values():
        for child in nested(argument.value):
            yield from _calls(child)
