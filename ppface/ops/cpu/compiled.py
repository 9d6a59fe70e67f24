"""Compiles kernels with Numba and keeps them in the user's cache folder."""

import contextlib
import functools
import importlib.util
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ppface.core.run.log import log

NOTICE_AFTER_S = 1.0  # a compilation that takes longer is reported in the log
READ, WRITE = "read", "write"


@functools.cache
def available() -> bool:
    """Whether Numba is installed; where it is missing, one line of the log says what is lost."""
    if importlib.util.find_spec("numba") is not None:
        return True
    log.warning('training on CPUs is up to three times slower without Numba: pip install "ppface[cpu]"')
    return False


def compiled(function: Callable, *arguments: tuple[str, int, str] | str, fast: bool = True) -> Callable:
    """The function, compiled for these arguments and nothing else.

    Args:
        function: loops over NumPy arrays; what its closure holds is constant.
        arguments: (type, dimensions, READ or WRITE) of each array, in C order, or the type of a scalar.
        fast: whether sums may be reordered; the same input still gives the same bytes.
    """
    import numba
    from numba import types

    signature = [
        getattr(types, one) if isinstance(one, str) else types.Array(getattr(types, one[0]), one[1], "C", readonly=one[2] == READ)
        for one in arguments
    ]
    with _cached_in(numba.config, folder := cache_folder()), _notice(folder):
        return numba.njit(types.void(*signature), fastmath=fast, cache=folder is not None)(function)


@functools.cache
def cache_folder() -> Path | None:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, else ppface/numba in the user's cache folder; None if that cannot be written."""
    wanted = os.environ.get("NUMBA_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ppface", "numba").expanduser()
    try:
        Path(wanted).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return Path(wanted)
    except (OSError, RuntimeError):  # no such home
        return None


@contextlib.contextmanager
def _cached_in(config: Any, folder: Path | None) -> Iterator[None]:
    before = config.CACHE_DIR
    config.CACHE_DIR = "" if folder is None else str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


@contextlib.contextmanager
def _notice(folder: Path | None) -> Iterator[None]:
    timer = threading.Timer(NOTICE_AFTER_S, _report, [folder])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@functools.cache
def _report(folder: Path | None) -> None:
    where = f"once: they are kept in {folder}" if folder else "in every process: the user's cache folder cannot be written"
    log.info("compiling kernels for the CPU, some seconds, %s", where)


def view(tensor: paddle.Tensor) -> np.ndarray:
    """A contiguous tensor's own memory as an array; keep the tensor. Not through DLPack, whose arrays NumPy before 2.1 makes read-only."""
    kind = np.ctypeslib.as_ctypes_type(str(tensor.dtype).removeprefix("paddle."))
    return np.ctypeslib.as_array((kind * tensor.size).from_address(tensor.data_ptr())).reshape(tensor.shape)
