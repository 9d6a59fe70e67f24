"""Compiling kernels with Numba: once, into the user's cache folder; no Numba until a kernel is asked for.

A module of kernels is imported by `load` alone, which says where its functions are cached while `kernel` compiles them.
"""

import functools
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ppface.core.run import folder_lock
from ppface.core.run.log import log

# what changes the order of summation, but keeps NaN and infinity, which the training loop looks for
FAST = {"reassoc", "contract", "nsz", "arcp"}
LOCK_TIMEOUT_S = 60.0  # for another process that compiles the same
_cached = True


def kernel(*signatures: str) -> Callable[[Callable], Callable]:
    """Decorator: compiles for these types of arguments now or takes it from the cache; without any, as part of what calls it."""
    import numba

    if not signatures:
        return numba.njit(fastmath=FAST)
    return numba.njit(list(signatures), fastmath=FAST, cache=_cached)


@functools.cache
def available() -> bool:
    """Whether Numba can be had; says once what is lost where it cannot."""
    try:
        importlib.import_module("numba")
    except ImportError as error:
        log.warning(
            f"no CPU kernels, since Numba cannot be imported ({error}): depthwise convolutions take Paddle's operators, "
            'with which a step of BlazeFace takes about three times as long; pip install "ppface[cpu]"'
        )
        return False
    return True


@functools.cache
def load(module: str) -> ModuleType:
    """The module of kernels of this name in ppface.ops.cpu, compiled."""
    folder = cache_folder()
    name = f"{__package__}.{module}"
    if folder is not None:
        try:
            with _alone(folder), _caching_in(folder), _announced(module):
                return importlib.import_module(name)
        except (
            Exception
        ) as error:  # a full disk, or a cache file that a crash left half written: nothing that compiling anew cannot do without
            log.warning(f"CPU kernels: the cache {folder} does not serve ({type(error).__name__}: {error}): compiling without it")
            if "NUMBA_CACHE_DIR" not in os.environ:
                shutil.rmtree(folder, ignore_errors=True)
    with _caching_in(None), _announced(module):
        return importlib.import_module(name)


def cache_folder() -> Path | None:
    """The user's own NUMBA_CACHE_DIR, else ppface/numba in the user's cache folder, else in a temporary folder of this user alone."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return _writable(Path(os.environ["NUMBA_CACHE_DIR"]))
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  (never raises, unlike Path.home)
    return _writable(Path(home, "ppface", "numba")) or _private(Path(tempfile.gettempdir(), f"ppface-numba-{os.getuid()}"))


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def _private(folder: Path) -> Path | None:
    """The folder if nobody else can put code there."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    safe = about.st_uid == os.getuid() and about.st_mode & 0o170777 == 0o040700  # a real folder, for its owner alone
    return _writable(folder) if safe else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds off other processes: Numba's index of a cache does not stand two writers."""
    handle = folder_lock.take(folder, LOCK_TIMEOUT_S)
    if handle is None:
        raise TimeoutError(f"another process held the lock for {LOCK_TIMEOUT_S:.0f} s")
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def _caching_in(folder: Path | None) -> Iterator[None]:
    """Numba's choice of a folder, for as long as our functions ask for it; None: no caching."""
    global _cached
    config: Any = importlib.import_module("numba.core.config")
    before, cached = config.CACHE_DIR, _cached
    config.CACHE_DIR, _cached = str(folder or ""), folder is not None
    try:
        yield
    finally:
        config.CACHE_DIR, _cached = before, cached


@contextmanager
def _announced(module: str) -> Iterator[None]:
    """One line in the log before anything is compiled; none where all comes from the cache."""
    from numba.core import event

    class Announce(event.Listener):
        said = False

        def on_start(self, event) -> None:
            if not self.said:
                log.info(f"compiling CPU kernels for {module.replace('_', ' ')}, once for this machine: some seconds")
                self.said = True

        def on_end(self, event) -> None:
            pass

    with event.install_listener("numba:compile", Announce()):
        yield
