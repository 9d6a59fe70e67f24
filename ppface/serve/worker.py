"""Worker: the one thread that runs the models, on batches of pictures of several requests."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ppface.data.pictures.picture import Picture
from ppface.predict.face import Face
from ppface.serve.settings import Limits


@dataclass
class Job:
    """A picture that waits for its faces."""

    picture: Picture
    future: Future = field(default_factory=Future)


class Worker:
    """Runs the pipeline in one thread, as models are not made for several.

    Pictures are decoded there too: no more of them than a batch, of no more pixels than the limit of one picture, are in memory.

    Args:
        pipeline: a list of pictures (H, W, 3) uint8 RGB -> a list of faces for each.
        limits: of the service.
        expected: how many requests are being received, wait or run; an incomplete batch waits only for these.
        done: called after each batch with its number of pictures and its seconds.
    """

    def __init__(
        self,
        pipeline: Callable[[list[np.ndarray]], list[list[Any]]],
        limits: Limits,
        expected: Callable[[], int],
        done: Callable[[int, float], None] = lambda pictures, seconds: None,
    ):
        self._pipeline, self._limits, self._expected, self._done = pipeline, limits, expected, done
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._next: list[Job | None] = []  # taken from the queue, but not part of the batch
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answers what was submitted, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, picture: Picture) -> Future:
        """The faces of a picture, later; a cancelled future is not computed."""
        job = Job(picture)
        self._queue.put(job)
        return job.future

    def _run(self) -> None:
        while (job := self._next.pop() if self._next else self._queue.get()) is not None:
            batch = [one for one in self._batch(job) if one.future.set_running_or_notify_cancel()]
            start = time.perf_counter()
            self._answer(batch)
            if batch:
                self._done(len(batch), time.perf_counter() - start)

    def _batch(self, first: Job) -> list[Job]:
        jobs, pixels = [first], _pixels(first)
        until = time.monotonic() + self._limits.batch_wait_s
        while len(jobs) < self._limits.batch:
            wait = until - time.monotonic() if self._expected() > len(jobs) else 0.0
            try:
                job = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None or pixels + _pixels(job) > self._limits.pixels:
                self._next.append(job)
                break
            jobs.append(job)
            pixels += _pixels(job)
        return jobs

    def _answer(self, jobs: list[Job]) -> None:
        pictures = []
        for job in jobs:
            try:
                pictures.append((job, job.picture.decode(reduction(job.picture.size, self._limits.model_pixels))))
            except Exception as error:
                job.future.set_exception(error)
        if not pictures:
            return
        try:
            answers = self._pipeline([pixels for _, pixels in pictures])
        except Exception as error:
            if len(pictures) == 1:
                pictures[0][0].future.set_exception(error)
                return
            for job, pixels in pictures:  # the others of the batch get their answers
                self._alone(job, pixels)
            return
        for (job, pixels), faces in zip(pictures, answers, strict=True):
            job.future.set_result(at_full_size(faces, pixels, job.picture))

    def _alone(self, job: Job, pixels: np.ndarray) -> None:
        try:
            job.future.set_result(at_full_size(self._pipeline([pixels])[0], pixels, job.picture))
        except Exception as error:
            job.future.set_exception(error)


def reduction(size: tuple[int, int], most: int) -> int:
    """By what a picture of (height, width) is made smaller: 1, 2, 4 or 8."""
    return next((factor for factor in (1, 2, 4) if -(-size[0] // factor) * -(-size[1] // factor) <= most), 8)


def at_full_size(faces: list[Face], pixels: np.ndarray, picture: Picture) -> list[Face]:
    """Faces in pixels of a reduced picture -> in those of the picture."""
    if pixels.shape[:2] == picture.size:
        return faces
    scale = max(picture.size) / max(pixels.shape[:2])
    height, width = picture.size
    made = []
    for face in faces:
        box = np.clip(np.array(face.box) * scale, 0, [width, height, width, height])
        points = None if face.landmarks is None else face.landmarks * scale
        made.append(replace(face, box=tuple(box.tolist()), landmarks=points))
    return made


def _pixels(job: Job) -> int:
    return job.picture.size[0] * job.picture.size[1]
