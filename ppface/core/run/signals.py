"""Stopping a tool by SIGTERM, Ctrl-C or a terminal that closes: the first signal asks, a second one ends the process at once.

Asked outside of `deferred`, a tool unwinds from where it is: what it had half written is taken away. Within `deferred` the question is
only remembered, for work that ends at a place of its own choice, such as a training at the end of a step.
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

TEARDOWN = 10  # seconds that the interpreter has to end, deaf to signals
ASKED = 10.0  # seconds that reading may stand still once a signal has asked to stop
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked this tool to stop.

    Attributes:
        exit_code: 128 and the signal's number, as shells have it: 130 after Ctrl-C, 143 after SIGTERM, 129 after a closed terminal.
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
    """The time that `patience` allowed is over; nobody who expects mistakes is to catch it on the way."""


class _State:
    tool = False  # whether this process is a tool, whose signals are ours to handle
    heard: int | None = None
    waits = False
    patient = False  # within `patience`
    over = False
    ending = False  # at once, by another thread
    words = ""
    repeats = 0.1  # seconds in which the first signal may be sent again
    at_once: Callable[[], None] | None = None  # before a second signal ends the process
    tidy: Callable[[], object] | None = None  # before a first one does


def listen() -> None:
    """Takes the signals for this tool; those that came since it was started with signals held (see `held`) are heard now."""
    _State.tool = True
    atexit.register(_end_in_peace)  # before all others, so that it is done after them
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # also for the thread: the main one is to hear
    threading.Thread(target=_end_at_the_second, args=(told,), daemon=True).start()
    _listen_again()
    sys.meta_path.insert(0, Importer(held))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _listen_again() -> None:
    """Takes the signals back from whoever took them, if this process is a tool; in a user's own program it does nothing."""
    if _State.tool:
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup: closed terminals do not count
                signal.signal(number, _hear)


@contextmanager
def held() -> Iterator[None]:
    """Within the block a first signal waits, and that of a tool which is started in it waits until it listens."""
    if not _State.tool or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if signal.SIGTERM in before:  # by a block around this one
        yield
        return
    done = threading.Event()
    heard: list[int] = []
    watch = threading.Thread(target=_hear_for_the_main_thread, args=(done, heard), daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
        _listen_again()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in heard:
            signal.raise_signal(number)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the block, which must be short, signals wait: for calls that fail when a signal breaks them off."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if _State.tool else ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hear_for_the_main_thread(done: threading.Event, heard: list[int]) -> None:
    """Not by sigtimedwait: broken off by another signal, Python's returns a number out of nowhere."""
    first = 0.0
    while not done.wait(0.02):
        if waiting := signal.sigpending() & set(SIGNALS):
            number, now = signal.sigwait(waiting), time.monotonic()
            first = first or now
            if now - first >= _State.repeats or _State.over or _State.heard:
                _end(number)
            heard[:] = heard or [number]


def asked() -> int:
    """The number of the signal that has asked to stop, else 0."""
    return _State.heard or 0


def defer(words: str) -> None:
    """From now on a first signal is answered by `words` and remembered, until a block of `deferred` ends."""
    _State.waits, _State.words = True, words


@contextmanager
def deferred(words: str, at_once: Callable[[], None] | None = None) -> Iterator[Callable[[], int]]:
    """Within the block a first signal is answered by `words` and remembered: ask `asked`. After it, Stopped is raised for it.

    Args:
        words: what the user is told.
        at_once: done when a second signal comes, before this process ends; by another thread.
    """
    defer(words)
    _State.at_once = at_once
    try:
        yield asked
    finally:
        _State.waits, _State.at_once = False, None
    _raise_if_asked()


@contextmanager
def prompt() -> Iterator[None]:
    """Within the block, inside of `deferred`, Stopped is raised at once."""
    before, _State.waits = _State.waits, False
    try:
        _raise_if_asked()
        yield
    finally:
        _State.waits = before


@contextmanager
def abandoned(tidy: Callable[[], object]) -> Iterator[None]:
    """Within the block, inside of `deferred`, a first signal ends the process at once: for what an exception must not break off.

    Args:
        tidy: done before; raises nothing.
    """
    if _State.heard is not None:
        raise Stopped(_State.heard)
    _State.tidy = tidy
    try:
        yield
    finally:
        _State.tidy = None


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within the block Overdue is raised after this time (0: never), or after ASKED seconds once a signal has asked to stop.

    Of a tool's main thread; elsewhere it does nothing. What the system itself never returns from, it cannot break off.
    """
    if not _State.tool or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGALRM, _overdue)
    _State.patient = True
    signal.setitimer(signal.ITIMER_REAL, min(seconds or ASKED, ASKED) if asked() else seconds)
    try:
        yield
    finally:
        _State.patient = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _overdue(_number: int, _frame: Any) -> None:
    if _State.patient:
        raise Overdue


def take_as_one(seconds: float) -> None:
    """Signals that follow the first one within this time are part of it."""
    _State.repeats = seconds


def over() -> None:
    """The work is done: from now on the first signal ends the process at once."""
    _State.over = True


def _end_in_peace() -> None:
    """All is done, and the exit code stands: a signal that came while the interpreter takes itself apart would kill it by default."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(TEARDOWN)


def _raise_if_asked() -> None:
    while _State.ending:  # the main thread may see what the other one does first, and must not be faster than it
        time.sleep(1.0)
    if _State.heard is not None and not _State.waits:
        raise Stopped(_State.heard)


def _hear(number: int, _frame: Any) -> None:
    if _State.over:
        os._exit(128 + number)
    if _State.heard is not None:
        return
    _State.heard = number
    if _State.patient and not 0 < signal.getitimer(signal.ITIMER_REAL)[0] < ASKED:
        signal.setitimer(signal.ITIMER_REAL, ASKED)
    if _State.tidy:
        _State.tidy()
        _say(f"{Stopped(number)}")
        os._exit(128 + number)
    if not _State.waits:
        raise Stopped(number)
    if _State.words:
        _say(f"{signal.Signals(number).name}: {_State.words}")


def _end_at_the_second(told: int) -> None:
    """The thread that knows of every signal, also while the main one computes outside of Python and cannot hear."""
    first: float | None = None
    while True:
        number = os.read(told, 1)[0]
        if number not in SIGNALS:
            continue
        now = time.monotonic()
        if first is None:
            first = now
        elif now - first >= _State.repeats:
            _end(number)


def _end(number: int) -> None:
    _State.ending = True
    if _State.at_once:
        _State.at_once()
    _say(f"{signal.Signals(number).name} again: stopped at once")
    os._exit(128 + number)


def _say(words: str) -> None:
    """Not by the log, which may be speaking just now. Where the terminal is gone, all further words go nowhere, and are no errors."""
    try:
        os.write(2, f"{words}\n".encode())
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            with contextlib.suppress(OSError):
                os.write(stream, b"")
                continue
            os.dup2(nowhere, stream)
