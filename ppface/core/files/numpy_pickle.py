"""Records of NumPy's arrays and types while a pickle is read; they are converted to real arrays only after all checks.

Source of the state of an array: https://github.com/numpy/numpy/blob/main/numpy/_core/src/multiarray/methods.c, array_setstate.
"""

import re
from typing import Any

import numpy as np

from ppface.core.files.pickle_machine import Budget, Call, DamagedError, Machine, StandIn, shown
from ppface.core.files.safe_unpickle import PLAIN

PLAIN_TYPE, TEXT_TYPE = re.compile(r"b1|[iu][1248]|f[248]"), re.compile(r"[US]\d+")


class Type(StandIn):
    """Replaces numpy.dtype: type code and byte order."""

    def __init__(self, code: str | bytes):
        self.code, self.order = _text(code), "|"

    def build(self, state: Any) -> None:
        self.order = _text(state[1])


class Array(StandIn):
    """Replaces numpy.ndarray: shape, type and bytes."""

    def __init__(self, state: tuple = ()):
        self.state = state

    def build(self, state: Any) -> None:
        self.state = state

    def text_code(self) -> str | None:
        """The type code of an array of text; None for other arrays."""
        kind = self.state[2] if type(self.state) is tuple and len(self.state) == 5 else None
        return kind.code if isinstance(kind, Type) and TEXT_TYPE.fullmatch(kind.code) else None

    def array(self, budget: Budget) -> np.ndarray:
        """As a NumPy array.

        Args:
            budget: in bytes.

        Raises:
            ValueError, TypeError, AttributeError, DamagedError: incomplete, or larger than the budget.
        """
        _, shape, kind, columns_first, data = self.state
        if not PLAIN_TYPE.fullmatch(kind.code) or kind.order not in ("<", ">", "|", "="):
            raise DamagedError(f"expected numbers, received the type {shown(kind.code)!r}")
        if type(shape) is not tuple or any(type(size) is not int or size < 0 for size in shape):
            raise DamagedError("an invalid shape")
        budget.spend(len(data))
        data = data.encode("latin1") if isinstance(data, str) else data  # a string of Python 2
        flat = np.frombuffer(data, dtype=np.dtype(kind.order + kind.code))
        return flat.reshape(shape, order="F" if columns_first else "C").astype(flat.dtype.newbyteorder("="), order="C")


def _text(code: str | bytes) -> str:
    return code if isinstance(code, str) else code.decode("latin1")  # Python 2 writes bytes


def _type(machine: Machine, code: str | bytes, *_: Any) -> Type:
    return Type(code)


def _empty(machine: Machine, *_: Any) -> Array:
    return Array()


def _from_buffer(machine: Machine, data: bytes, kind: Type, shape: tuple, order: str) -> Array:
    return Array((1, shape, kind, order == "F", data))


def _scalar(machine: Machine, kind: Type, data: bytes) -> Array:
    return Array((1, (), kind, False, data))


NUMPY = dict(PLAIN)
for _package in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
    NUMPY[_package, "ndarray"] = Array
    NUMPY |= {(_package, "dtype"): Call(_type), (_package, "_reconstruct"): Call(_empty), (_package, "scalar"): Call(_scalar)}
for _package in ("numpy.core.numeric", "numpy._core.numeric"):
    NUMPY[_package, "_frombuffer"] = Call(_from_buffer)  # how protocol 5 writes arrays
