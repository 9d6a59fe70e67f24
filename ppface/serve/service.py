"""Service: what the routes share: the models' thread, the gallery's thread, keys, limits and metrics."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from fastapi import Request

from ppface.core.errors import DataError, UserError
from ppface.data.pictures.picture import Picture
from ppface.gallery import Gallery
from ppface.gallery.identity import ChangedError
from ppface.predict.face import Face
from ppface.serve import journal, uploads
from ppface.serve.access import Access
from ppface.serve.metrics import Metrics
from ppface.serve.service_error import ServiceError
from ppface.serve.settings import Settings
from ppface.serve.worker import Worker

T = TypeVar("T")
CHANGED = "the gallery's file was replaced, or its key rotated, since the service was started: the service has to be restarted"
REMAINS = (
    "removed, but bytes stay in the gallery's file, as another process reads it: the next removal, a restart of the service or "
    "`ppface gallery list` gets rid of them"
)


class Service:
    """The state of a running service.

    The gallery is used by one thread alone: its file has one writer at a time, and its embeddings in memory are changed by reading, too.

    Args:
        settings: what it is made of.
    """

    def __init__(self, settings: Settings):
        self.settings, self.limits = settings, settings.limits
        self._in_flight, self._seconds, self.stopping = 0, 0.1, False
        self.metrics = Metrics(lambda: self._in_flight)
        self.access = Access(settings.keys)
        self._worker = Worker(settings.pipeline, self.limits, lambda: self._in_flight, self._batch_done)
        self._gallery_thread = ThreadPoolExecutor(1, "gallery")

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Finishes what was begun."""
        self.stopping = True
        self._worker.stop()
        self._gallery_thread.shutdown()

    def _batch_done(self, pictures: int, seconds: float) -> None:
        self._seconds += (seconds / pictures - self._seconds) / 8  # of late, for Retry-After
        self.metrics.batch(pictures, seconds)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """A place among the requests at work.

        Raises:
            ServiceError: none is free.
        """
        if self.stopping:
            raise ServiceError("unavailable", "the service is stopping", retry_after=5)
        if self._in_flight >= self.limits.requests:
            raise ServiceError("busy", "too many requests at once; try again later", retry_after=self._seconds * self._in_flight)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def faces(self, request: Request, *names: str) -> list[tuple[Picture, list[Face]]]:
        """The pictures of a request by their fields, and the faces of each."""
        pictures = await uploads.pictures(request, self.limits, *names)
        futures = [asyncio.wrap_future(self._worker.submit(picture)) for picture in pictures]
        try:
            found = await asyncio.wait_for(asyncio.gather(*futures), self.limits.answer_s)
        except DataError as error:
            raise uploads.bad_picture(error) from None
        except asyncio.TimeoutError:
            seconds = self.limits.answer_s
            raise ServiceError("unavailable", f"no answer within {seconds:g} seconds", retry_after=seconds) from None
        finally:
            for future in futures:
                future.cancel()
        return list(zip(pictures, found, strict=True))

    async def in_gallery(self, work: Callable[..., T], *args: Any) -> T:
        """`work(gallery, *args)` in the gallery's thread.

        Raises:
            ServiceError: there is no gallery, what `work` raises, or a file that cannot be used at the moment.
        """
        if self.settings.gallery is None:
            raise ServiceError("not_found", "this service has no gallery of people")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._gallery_thread, partial(work, self.settings.gallery, *args))
        except UserError as error:
            gallery: Gallery = self.settings.gallery
            _, cannot, reason = str(error).partition(f"{gallery.database.path}: cannot ")  # the rest may hold a name
            changed = isinstance(error, ChangedError)
            reason = CHANGED if changed else cannot and f"cannot {reason}"
            journal.note("gallery failed", {"error": type(error).__name__, "reason": reason}, logging.ERROR)
            if changed:
                raise ServiceError("unavailable", CHANGED) from None
            if "removed, but bytes remain" in str(error):
                raise ServiceError("unavailable", REMAINS) from None
            raise ServiceError("unavailable", "the gallery cannot be used at the moment; try again later", retry_after=5) from None

    async def ready(self) -> str:
        """Why no further request would be answered; empty if it would."""
        if self.stopping or not self._worker.alive:
            return "the service is stopping" if self.stopping else "the models do not run"
        if self._in_flight >= self.limits.requests:
            return "too many requests at once"
        if self.settings.gallery is not None:
            try:
                await asyncio.wait_for(self.in_gallery(lambda gallery: gallery.refresh()), 1.0)
            except (ServiceError, asyncio.TimeoutError) as error:
                return CHANGED if getattr(error, "message", "") == CHANGED else "the gallery cannot be read"
        return ""
