"""Whether a graph is being traced for ONNX, where some operators must be written in another way."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_traced: ContextVar[bool] = ContextVar("traced", default=False)


@contextlib.contextmanager
def onnx_tracing() -> Iterator[None]:
    """Inside, graphs are traced for ONNX."""
    token = _traced.set(True)
    try:
        yield
    finally:
        _traced.reset(token)


def traced_for_onnx() -> bool:
    """Whether this is inside `onnx_tracing`."""
    return _traced.get()
