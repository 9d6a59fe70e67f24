"""A checked config as YAML for people: a comment on every line says where its value was written."""

from typing import Any

import yaml

from ppface.core.config.spec import Spec


def with_origins(spec: Spec) -> str:
    """The resolved config as YAML with a comment on each line: `lr: 0.001    # runtime.yml:4`, or `# default`."""
    lines = list(_lines(spec, 0))
    width = min(100, max((len(text) for text, _ in lines), default=0))
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines)


def _lines(spec: Spec, depth: int) -> Any:
    pad = "  " * depth
    if spec.named:
        yield f"{pad}name: {spec.target.__name__}", spec.origin
    for name, argument in spec.arguments.items():
        yield from _entry(f"{pad}{name}:", argument.value, depth, argument.origin)


def _entry(key: str, value: Any, depth: int, origin: Any) -> Any:
    if isinstance(value, Spec):
        yield key, origin
        yield from _lines(value, depth + 1)
    elif isinstance(value, dict) and any(isinstance(item, Spec) for item in value.values()):
        yield key, origin
        for name, item in value.items():
            yield from _entry(f"{'  ' * (depth + 1)}{name}:", item, depth + 1, item.origin if isinstance(item, Spec) else origin)
    elif isinstance(value, list) and any(isinstance(item, Spec) for item in value):
        yield key, origin
        for item in value:
            first, *rest = _lines(item, depth + 2)
            yield f"{'  ' * (depth + 1)}- {first[0].lstrip()}", first[1]
            yield from rest
    else:
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("\n").removesuffix("\n...")
        yield f"{key} {text}", origin
