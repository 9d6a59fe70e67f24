"""Runs the application: listens, serves, and at a signal finishes what was begun."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ppface.core.errors import UserError
from ppface.core.run import signals
from ppface.serve import journal
from ppface.serve.settings import Limits, is_local

HEADERS_S = 10.0  # for the first line and the headers of a request
IDLE_S = 30  # between the requests of a connection


class Connection(H11Protocol):
    """A connection that is closed if the headers of a request do not arrive in time, which uvicorn does not check."""

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADERS_S, self.transport.close)

    def _unwatch(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `ppface.core.run.signals`.

    Args:
        config: of uvicorn.
        stopped: whether to stop.
    """

    def __init__(self, config: uvicorn.Config, stopped: Callable[[], object]):
        super().__init__(config)
        self._stopped = stopped

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or bool(self._stopped())


def listen(host: str, port: int, keys: bool) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: an address of other machines without keys, or one that cannot be had.
    """
    if not keys and not is_local(host):
        raise UserError(
            f"--host {host}: other machines can reach it: expected --keys FILE with it (`ppface serve new-key NAME`), or 127.0.0.1"
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise UserError(f"{host}:{port}: cannot listen there: {getattr(error, 'strerror', None) or error}") from None


def configured(app: Any, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=Connection, ws="none", lifespan="on", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=int(limits.stop_s), h11_max_incomplete_event_size=32_768,
    )  # fmt: skip


def serve(app: Any, listening: socket.socket, limits: Limits) -> None:
    """Serves until a signal; then `signals.Stopped` is raised."""
    host, port = listening.getsockname()[:2]
    with signals.deferred("") as stopped:
        server = Server(configured(app, limits), lambda: _noted(stopped()))
        journal.note("started", {"address": f"http://{f'[{host}]' if ':' in host else host}:{port}"})
        asyncio.run(server.serve([listening]))
        journal.note("stopped", {})


_noticed = False


def _noted(number: int) -> int:
    global _noticed
    if number and not _noticed:
        _noticed = True
        journal.note("stopping", {"signal": signals.signal_name(number)})
    return number
