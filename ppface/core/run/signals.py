"""Stopping a tool by SIGTERM, Ctrl-C or a closed terminal: the first signal requests a stop, a second one ends the process at once.

Outside of `deferred`, the first signal raises Stopped wherever the tool is, and cleanup code removes partial output. Within `deferred`
the signal is only recorded, for work that chooses where to stop, such as a training at the end of a step.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ppface.core.run.signal_safe_imports import Importer

EXIT_TIMEOUT_S = 60  # for the interpreter to shut down while it ignores signals: seconds of work, ten times as long on a busy machine
STOP_TIMEOUT_S = 10.0  # largest time limit of a read once a signal has requested a stop
POLL_INTERVAL_S = 0.02  # between two looks at the pending signals
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """A signal requested this tool to stop.

    Attributes:
        exit_code: 128 + the signal's number, the convention of shells: 130 after Ctrl-C, 143 after SIGTERM, 129 after a closed terminal.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def signal_name(number: int) -> str:
    """For messages."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "without a name"


class Overdue(BaseException):
    """The `time_limit` was exceeded; a BaseException, so that no `except Exception` in between catches it."""


class _State:
    tool = False  # whether this process is a tool, whose signals this module handles
    received: int | None = None  # number of the first signal
    deferred = False
    time_limited = False  # within `time_limit`
    finished = False
    exiting = False  # the watcher thread is ending the process
    notice = ""
    repeat_window_s = 0.1  # repeats of the first signal within this time are ignored
    on_second_signal: Callable[[], None] | None = None  # called before a second signal ends the process
    cleanup: Callable[[], object] | None = None  # called before a first signal ends it, see `immediate_exit`


def install_handlers() -> None:
    """Handles the signals of this tool, including those that arrived since it was started with signals blocked (see `blocked`)."""
    _State.tool = True
    atexit.register(_ignore_signals)  # registered first, so that it runs last
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited by the thread, so that the main one receives the signals
    threading.Thread(target=_watch_for_second_signal, args=(reader,), daemon=True).start()
    _set_handlers()
    sys.meta_path.insert(0, Importer(blocked))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _set_handlers() -> None:
    """Sets the handlers, also where a library has replaced them; does nothing in a user's own program."""
    if _State.tool:
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup: closed terminals do not count
                signal.signal(number, _handle)


@contextmanager
def blocked() -> Iterator[None]:
    """Delays a first signal until the end of the block; a tool that is started within it receives signals once it installs its handlers."""
    if not _State.tool or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if signal.SIGTERM in before:  # blocked by an enclosing block
        yield
        return
    done = threading.Event()
    pending: list[int] = []
    watcher = threading.Thread(target=_collect_blocked_signals, args=(done, pending), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        _set_handlers()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in pending:
            signal.raise_signal(number)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delays all signals until the end of the block, which must be short: for calls that fail when a signal interrupts them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if _State.tool else ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect_blocked_signals(done: threading.Event, received: list[int]) -> None:
    """Polls instead of calling sigtimedwait: interrupted by another signal, Python's returns an undefined number."""
    first = 0.0
    while not done.wait(POLL_INTERVAL_S):
        if pending := signal.sigpending() & set(SIGNALS):
            number, now = signal.sigwait(pending), time.monotonic()
            first = first or now
            if now - first >= _State.repeat_window_s or _State.finished or _State.received:
                _exit_now(number)
            received[:] = received or [number]


def stop_signal() -> int:
    """The number of the signal that has requested a stop, else 0."""
    return _State.received or 0


def defer(notice: str) -> None:
    """From now on a first signal prints `notice` and is recorded, until a block of `deferred` ends."""
    _State.deferred, _State.notice = True, notice


@contextmanager
def deferred(notice: str, on_second_signal: Callable[[], None] | None = None) -> Iterator[Callable[[], int]]:
    """Within the block a first signal prints `notice` and is recorded: poll `stop_signal`. At its end Stopped is raised for it.

    Args:
        notice: the message for the user; "": none.
        on_second_signal: called by another thread when a second signal arrives, before this process ends.
    """
    defer(notice)
    _State.on_second_signal = on_second_signal
    try:
        yield stop_signal
    finally:
        _State.deferred, _State.on_second_signal = False, None
    _raise_if_requested()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, inside of `deferred`, Stopped is raised at once."""
    before, _State.deferred = _State.deferred, False
    try:
        _raise_if_requested()
        yield
    finally:
        _State.deferred = before


@contextmanager
def immediate_exit(cleanup: Callable[[], object]) -> Iterator[None]:
    """Within the block, inside of `deferred`, a first signal ends the process at once: for code in which an exception is unsafe.

    Args:
        cleanup: called before; must not raise.
    """
    if _State.received is not None:
        raise Stopped(_State.received)
    _State.cleanup = cleanup
    try:
        yield
    finally:
        _State.cleanup = None


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Overdue after this time (0: no limit), or STOP_TIMEOUT_S after a signal has requested a stop.

    Works in a tool's main thread; elsewhere it does nothing. It cannot interrupt a system call that never returns.
    """
    if not _State.tool or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGALRM, _raise_overdue)
    _State.time_limited = True
    signal.setitimer(signal.ITIMER_REAL, min(seconds or STOP_TIMEOUT_S, STOP_TIMEOUT_S) if stop_signal() else seconds)
    try:
        yield
    finally:
        _State.time_limited = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise_overdue(_number: int, _frame: Any) -> None:
    if _State.time_limited:
        raise Overdue


def ignore_repeats(seconds: float) -> None:
    """Signals within this time of the first one count as the same signal."""
    _State.repeat_window_s = seconds


def finish() -> None:
    """The work is done: from now on the first signal ends the process at once."""
    _State.finished = True


def _ignore_signals() -> None:
    """Keeps the exit code: by default, a signal that arrives while the interpreter shuts down would kill the process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(EXIT_TIMEOUT_S)


def _raise_if_requested() -> None:
    while _State.exiting:  # the watcher thread is ending the process: the main one must not exit with another code first
        time.sleep(1.0)
    if _State.received is not None and not _State.deferred:
        raise Stopped(_State.received)


def _handle(number: int, _frame: Any) -> None:
    if _State.finished:
        os._exit(128 + number)
    if _State.received is not None:
        return
    _State.received = number
    if _State.time_limited and not 0 < signal.getitimer(signal.ITIMER_REAL)[0] < STOP_TIMEOUT_S:
        signal.setitimer(signal.ITIMER_REAL, STOP_TIMEOUT_S)
    if _State.cleanup:
        _State.cleanup()
        _print_error(f"{Stopped(number)}")
        os._exit(128 + number)
    if not _State.deferred:
        raise Stopped(number)
    if _State.notice:
        _print_error(f"{signal.Signals(number).name}: {_State.notice}")


def _watch_for_second_signal(wakeup_pipe: int) -> None:
    """Reads every signal's number from the wakeup pipe, also while the main thread runs native code and its handler cannot."""
    first: float | None = None
    while True:
        number = os.read(wakeup_pipe, 1)[0]
        if number not in SIGNALS:
            continue
        now = time.monotonic()
        if first is None:
            first = now
        elif now - first >= _State.repeat_window_s:
            _exit_now(number)


def _exit_now(number: int) -> None:
    _State.exiting = True
    if _State.on_second_signal:
        _State.on_second_signal()
    _print_error(f"{signal.Signals(number).name} again: stopped at once")
    os._exit(128 + number)


def _print_error(text: str) -> None:
    """Without the log, whose lock may be held. Where the terminal is closed, all further output is discarded without an error."""
    try:
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            with contextlib.suppress(OSError):
                os.write(stream, b"")
                continue
            os.dup2(null, stream)
