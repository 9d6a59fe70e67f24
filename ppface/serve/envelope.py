"""What every request passes: refusal of foreign pages, headers of security, errors as JSON, the log and the metrics."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ppface.serve import journal
from ppface.serve.service_error import ServiceError
from ppface.serve.settings import is_local

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
DRAINED_S = 2.0


class Envelope:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        answered: called with route, status and seconds of each request.
        local_only: refuse the header Host of another machine: without keys, a web page whose name is pointed at this machine by its
            DNS server could otherwise use the service from a browser here.
        drained: bytes of a body that are read and dropped where its answer needs none, as after an early error. A connection that is
            closed with unread bytes is reset, and its client may lose the answer.
    """

    def __init__(self, app: ASGIApp, answered: Callable[[str, int, float], None], local_only: bool, drained: int):
        self._app, self._answered, self._local_only, self._drained = app, answered, local_only, drained

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._drained)
        try:
            check_host(Headers(scope=scope), self._local_only)
            if scope["path"].startswith("/v1"):  # links to the page may come from anywhere
                check_origin(Headers(scope=scope))
            scope["path"] = kept_slashes(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except ServiceError as failure:
            await failure.response()(scope, exchange.receive, exchange.send)
        except Exception as error:
            journal.note("bug", {"id": exchange.id} | journal.described(error), logging.ERROR)
            if exchange.status:
                raise  # the answer has begun: only the connection can be closed
            bug = ServiceError("internal", f"an error of the service; its log has details under {exchange.id}")
            await bug.response()(scope, exchange.receive, exchange.send)
        finally:
            self._note(scope, exchange)

    def _note(self, scope: Scope, exchange: "Exchange") -> None:
        route = getattr(scope.get("route"), "path", "other")
        seconds = time.perf_counter() - exchange.start
        self._answered(route, exchange.status, seconds)
        key = scope.get("state", {}).get("key_id")
        method = scope["method"] if scope["method"].isalpha() else "?"
        about = {"id": exchange.id, "method": method, "route": route, "status": exchange.status}
        journal.note("request", about | {"ms": round(seconds * 1000, 1), "bytes": exchange.received, "key": key})


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, drained: int):
        self._scope, self._receive, self._send, self._drained = scope, receive, send, drained
        self.id, self.start, self.status, self.received = secrets.token_hex(8), time.perf_counter(), 0, 0
        headers = Headers(scope=scope)
        self._complete = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers  # no body

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status != 408 and not self._complete:
                await self._drain()
            headers = MutableHeaders(scope=message)
            if not self._complete:
                headers["Connection"] = "close"
            for name, value in HEADERS.items():
                headers[name] = value
            headers["X-Request-Id"] = self.id
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    async def _drain(self) -> None:
        if Headers(scope=self._scope).get("expect"):  # the client sends no body before it is asked to
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._read_on(), DRAINED_S)

    async def _read_on(self) -> None:
        end = self.received + self._drained
        while not self._complete and self.received < end:
            await self.receive()


def check_host(headers: Headers, local_only: bool) -> None:
    """Refuses foreign names of this machine.

    Raises:
        ServiceError: such a name in the header Host.
    """
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        name = ""
    if local_only and not is_local(name):
        raise ServiceError("forbidden", "expected the address 127.0.0.1 or localhost; for others the service needs keys")


def check_origin(headers: Headers) -> None:
    """Refuses what a page of another site sends by a browser.

    Raises:
        ServiceError: such a page.
    """
    origin = headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != headers.get("host", "")
    if foreign or headers.get("sec-fetch-site") == "cross-site":
        raise ServiceError("forbidden", "this service answers no pages of other sites")


def kept_slashes(scope: Scope) -> str:
    """The path in which `/` and `%` of its parts are still encoded, so that a person's name is one part."""
    raw = scope.get("raw_path") or scope["path"].encode()
    text = raw.decode("latin-1").replace("%2f", "%2F").replace("%25", "%2525").replace("%2F", "%252F")
    return unquote(text)
