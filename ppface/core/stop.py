"""Stopping a tool by SIGTERM or Ctrl-C: the first signal asks, a second one ends the process at once.

Asked outside of `deferred`, a tool unwinds from where it is: what it had half written is taken away. Within `deferred` the question is
only remembered, for work that ends at a place of its own choice, such as a training at the end of a step.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A signal asked this tool to stop.

    Attributes:
        exit_code: 128 and the signal's number, as shells have it: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class _State:
    tool = False  # whether this process is a tool, whose signals are ours to handle
    heard: int | None = None
    waits = False
    words = b""


def listen() -> None:
    """Takes both signals for this tool. Paddle takes SIGTERM for itself when it is imported: `listen_again` after that."""
    _State.tool = True
    listen_again()


def listen_again() -> None:
    """Takes the signals back, if this process is a tool; in a user's own program it does nothing."""
    if _State.tool:
        for number in SIGNALS:
            signal.signal(number, _hear)


def asked() -> bool:
    """Whether a signal has asked to stop."""
    return _State.heard is not None


@contextmanager
def deferred(words: str) -> Iterator[Callable[[], bool]]:
    """Within the block a first signal is answered by `words` and remembered: ask `asked`. After it, Stopped is raised for it."""
    before, _State.waits = _State.waits, True
    _State.words = words.encode()
    try:
        yield asked
    finally:
        _State.waits = before
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


def _raise_if_asked() -> None:
    if _State.heard is not None and not _State.waits:
        raise Stopped(_State.heard)


def _hear(number: int, _frame: Any) -> None:
    if _State.heard is not None:
        os._exit(128 + number)
    _State.heard = number
    if not _State.waits:
        raise Stopped(number)
    os.write(2, b"%s: %s\n" % (signal.Signals(number).name.encode(), _State.words))  # not by the log: it may be speaking just now
