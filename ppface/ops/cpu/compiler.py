"""Compiles kernels with Numba, once, into the user's cache folder; Numba is imported when the first kernel is needed.

Only `load` imports a module of kernels: it sets the cache folder while `kernel` compiles the functions of the module.
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

# allows another order of summation, but keeps NaN and infinity, which the training loop checks for
FAST = {"reassoc", "contract", "nsz", "arcp"}
LOCK_TIMEOUT_S = 60.0  # for another process that compiles the same
_cached = True


def kernel(*signatures: str) -> Callable[[Callable], Callable]:
    """Decorator: compiles for these argument types, or loads from the cache; without types, compiles as part of its callers."""
    import numba

    if not signatures:  # inlined: otherwise kernels just compiled and kernels from the cache can call differently optimized copies of it
        return numba.njit(fastmath=FAST, forceinline=True)
    return numba.njit(list(signatures), fastmath=FAST, cache=_cached)


@functools.cache
def available() -> bool:
    """Whether Numba can be imported; if not, one warning says what is lost."""
    try:
        importlib.import_module("numba")
    except ImportError as error:
        log.warning(
            f"Numba cannot be imported ({error}): networks run on Paddle's operators, and a training step on a CPU takes up to three times "
            'as long; pip install "ppface[cpu]"'
        )
        return False
    return True


@functools.cache
def load(module: str) -> ModuleType:
    """The module of kernels `ppface.ops.cpu.{module}_kernels`, compiled."""
    folder = cache_folder()
    name = f"{__package__}.{module}_kernels"
    if folder is not None:
        try:
            with _locked(folder), _caching_in(folder), _announced(module):
                return importlib.import_module(name)
        except Exception as error:  # a full disk, or a truncated cache file: compile without the cache
            log.warning(f"CPU kernels: cannot use the cache {folder} ({type(error).__name__}: {error}): compiling without it")
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
    """The folder if only this user can write to it: cached code is executed."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    safe = about.st_uid == os.getuid() and about.st_mode & 0o170777 == 0o040700  # a real folder with mode 700
    return _writable(folder) if safe else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the cache: two processes that write Numba's index at the same time would damage it."""
    handle = folder_lock.take(folder, LOCK_TIMEOUT_S)
    if handle is None:
        raise TimeoutError(f"another process held the lock for {LOCK_TIMEOUT_S:.0f} s")
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def _caching_in(folder: Path | None) -> Iterator[None]:
    """Sets Numba's cache folder within the block; None: no caching."""
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
    """Logs one line before the first compilation; nothing if all kernels come from the cache."""
    from numba.core import event

    class Announce(event.Listener):
        said = False

        def on_start(self, event) -> None:
            if not self.said:
                log.info(f"compiling CPU kernels for {module.replace('_', ' ')}: takes some seconds, once per machine")
                self.said = True

        def on_end(self, event) -> None:
            pass

    with event.install_listener("numba:compile", Announce()):
        yield
