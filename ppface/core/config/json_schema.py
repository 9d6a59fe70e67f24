"""The config language as a JSON schema, for editors that complete and check YAML while it is typed."""

import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ppface.core import registry
from ppface.core.config.spec import parameters
from ppface.core.config.yaml_tree import BASE
from ppface.core.registry import Kind

_SCALARS = {int: "integer", float: "number", bool: "boolean", type(None): "null"}


def json_schema() -> dict[str, Any]:
    """A draft-07 schema of a whole config file. No key is required, since any of them may come from `_BASE_`."""
    definitions: dict[str, Any] = {}
    for kind in registry.PACKAGES:
        for name in registry.names(kind):
            target = registry.find(kind, name)
            assert target is not None
            definitions[f"{kind}.{name}"] = _mapping(target, name)
    run = definitions.pop("run.Run")
    run["properties"] = {BASE: {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}} | run["properties"]
    del run["properties"]["name"]
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "ppface config", **run, "definitions": definitions}


def _mapping(target: Callable, name: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = {} if name is None else {"name": {"const": name}}
    for parameter in parameters(target).values():
        if not parameter.writable:
            continue
        described = {} if parameter.default in (None, inspect.Parameter.empty) else {"default": parameter.default}
        properties[parameter.name] = _value(parameter.annotation) | described
    about = (inspect.getdoc(target) or "").split("\n")[0]
    return {"type": "object", "description": about, "properties": properties, "additionalProperties": False}


def _value(annotation: Any) -> dict[str, Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind = next((mark for mark in args[1:] if isinstance(mark, Kind)), None)
        if kind is None:
            return _value(args[0])
        return {"anyOf": [{"$ref": f"#/definitions/{kind.kind}.{name}"} for name in registry.names(kind.kind)]}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_value(arg) for arg in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is list or (origin is tuple and args[-1] is ...):
        return {"type": "array", "items": _value(args[0])}
    if origin is tuple:
        return {"type": "array", "items": [_value(arg) for arg in args], "minItems": len(args), "maxItems": len(args)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(args[1])}
    if annotation in _SCALARS:
        return {"type": _SCALARS[annotation]}
    if annotation is str:
        return {"type": "string"}
    return _mapping(annotation, None) if inspect.isclass(annotation) and annotation.__module__.startswith("ppface") else {}
