"""Reading workers: processes beside the training process, so watched that one which dies or stands still is named, with its sample."""

import contextlib
import math
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.reduction import ForkingPickler
from typing import Any

import cv2

from ppface.core.errors import DataError
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.data.loading.worker_diagnostics import Shortage

TICK = 0.25  # seconds between two looks at the workers while a batch is awaited
PATIENCE = 5.0  # seconds until a death is told by the log, should the training not have asked for a batch meanwhile
START = 60.0  # seconds at least that a worker has to come to its first sample
FAREWELL = 1.0  # seconds that a worker has to leave by itself at the end
ANSWERS = "does its file system answer?"
HERE = "train.workers=0 reads in the training process itself"


@dataclass(eq=False)
class Job:
    """One batch to be read.

    Attributes:
        epoch, indices: what the reader is asked for.
        answer: its batch or its exception; cancelled where its worker died.
        worker: who reads it, once somebody does.
    """

    epoch: int
    indices: list[int]
    answer: Future = field(default_factory=Future)
    worker: "Worker | None" = None


class Worker:
    """One reading process, as the training process sees it.

    Attributes:
        number: 0 .. count-1, for messages.
        held: (sample, whether it is being read), written by the process; the sample is -1 before the first one.
        answers: batches that came from it.
    """

    def __init__(self, number: int, reader: bytes):
        context = multiprocessing.get_context("spawn")
        self.number, self.answers, self.reader = number, 0, reader
        self.held = context.RawArray("q", [-1, 0])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(number, theirs, self.held), name=f"reading worker {number}", daemon=True)
        with _deaf_to_ctrl_c():
            self.process.start()
        theirs.close()

    def state(self) -> tuple[int, ...]:
        """What changes as long as it gets on."""
        return (*self.held, self.answers)


class Workers:
    """As many processes as wanted, which read batches in any order.

    A thread a worker hands it one job after another and receives what comes back, so that the worker never waits for the training.

    Args:
        reader: has `batch(epoch, indices)`, `dataset`, and writes the sample it reads into `held`.
        count: processes.
        timeout: seconds that a worker may stand still over one sample while the training waits for it; 0: any time.

    Raises:
        DataError: processes that cannot be started, or a data set that cannot be handed to them.
    """

    def __init__(self, reader: Any, count: int, timeout: float):
        self.reader, self.timeout = reader, timeout
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._told = threading.Event()  # a death was reported, or none matters any more
        self._shortage = Shortage()
        self.workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        try:
            pickled = bytes(ForkingPickler.dumps(reader))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise DataError(f"train.dataset or its transforms cannot be handed to reading workers: {said}; {HERE}") from error
        try:
            for number in range(count):
                self.workers.append(Worker(number, pickled))
                thread = threading.Thread(target=self._serve, args=self.workers[-1:], daemon=True, name=f"reading worker {number}")
                self._threads.append(thread)
                thread.start()
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            number = len(self.workers)
            raise DataError(f"reading worker {number} of {count} cannot be started: {error.strerror}; try fewer train.workers") from error

    def submit(self, epoch: int, indices: list[int]) -> Job:
        """Has a batch read by the worker that is free first."""
        job = Job(epoch, indices)
        self._jobs.put(job)
        return job

    def result(self, job: Job) -> Any:
        """The batch of a job, awaited.

        Raises:
            DataError: a worker died, cannot start, or stands still; or the data set's own.
            Exception: any other of the data set's.
        """
        seen, still = None, 0.0
        while True:
            dead = [worker for worker in self.workers if worker.process.exitcode is not None]
            if dead and self._stopping(dead):  # the signal that asks the run to stop went to the whole process group: finish here
                return job.answer.result() if _answered(job) else self.reader.batch(job.epoch, job.indices)
            if dead:
                self._told.set()
                raise DataError(self._death(dead[0]))
            wait([job.answer], TICK)
            if _answered(job):
                return job.answer.result()
            worker = job.worker or self.workers[0]
            state = worker.state()
            seen, still = state, still + TICK if state == seen else 0.0  # by ticks: a whole run that was suspended is not to blame
            allowed = (self.timeout if worker.answers or state[1] else max(self.timeout, START)) if self.timeout else math.inf
            if still >= (min(allowed, signals.STOP_TIMEOUT_S) if signals.stop_signal() else allowed):
                raise DataError(self._stillness(worker, still))

    def close(self) -> None:
        """Ends all of them; who reads just now is not waited for."""
        self._told.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + (FAREWELL if self._threads else 0)
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
        for worker in self.workers:
            worker.process.join(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for worker in self.workers:
            worker.pipe.close()

    def _serve(self, worker: Worker) -> None:
        """The thread of one worker."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)  # they are for the main thread
        job = None
        try:
            worker.pipe.send_bytes(worker.reader)
            worker.reader = b""
            while job := self._jobs.get():
                job.worker = worker
                worker.pipe.send((job.epoch, job.indices))
                batch, error = worker.pipe.recv()
                worker.answers += 1
                if error is None:
                    job.answer.set_result(batch)
                else:
                    job.answer.set_exception(error)
            worker.pipe.send(None)
        except (EOFError, OSError):  # it died, or is ended
            worker.process.join(PATIENCE)
            if job:
                job.answer.cancel()
            if not self._told.wait(PATIENCE) and not self._stopping([worker]):
                log.error("%s", self._death(worker))

    def _stopping(self, dead: list[Worker]) -> bool:
        """Whether these ended by the signal that asks this process to stop, which may arrive here a little later."""
        if any(worker.process.exitcode not in [-number for number in signals.SIGNALS] for worker in dead):
            return False
        deadline = time.monotonic() + 1.0
        while not signals.stop_signal() and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(signals.stop_signal())

    def _death(self, worker: Worker) -> str:
        code = worker.process.exitcode
        if code is not None and code < 0:
            how = f"was killed by signal {-code} ({signals.signal_name(-code)})"
        else:
            how = f"ended with exit code {code}"
        found = self._shortage.hints()
        return "; ".join([f"{self._title(worker)} {how} {self._place(worker)}", *found, f"try fewer train.workers; {HERE}"])

    def _stillness(self, worker: Worker, seconds: float) -> str:
        told = f"{self._title(worker)} has stood still for {seconds:g} s {self._place(worker)} (train.timeout={self.timeout:g})"
        return "; ".join([told, *self._shortage.hints(), f"{ANSWERS} {HERE}"])

    def _title(self, worker: Worker) -> str:
        return f"reading worker {worker.number} of {len(self.workers)} (process {worker.process.pid})"

    def _place(self, worker: Worker) -> str:
        index, reads = worker.held
        if index < 0:
            return "before it read a sample"
        return f"{'while it read' if reads else 'after it had read'} {sample(self.reader.dataset, index)}"


def sample(dataset: Any, index: int) -> str:
    """Number and name of a sample, for messages."""
    try:
        return f"sample {index} ({dataset.name(index)})"
    except Exception:  # this message is about something else
        return f"sample {index}"


def _answered(job: Job) -> bool:
    return job.answer.done() and not job.answer.cancelled()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started within never hear SIGINT, which a terminal sends to all: the training process decides what becomes of it."""
    resource_tracker.ensure_running()  # were it started within, it would take the block away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(number: int, pipe: Any, held: Any) -> None:
    """What a worker does: takes over the reader, then answers each (epoch, indices) by (batch, None) or (None, exception); ends at None."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        reader, refusal = pipe.recv(), None
        reader.held = held
    except Exception as error:  # whatever the data set's module does when it is imported
        text = f"reading worker {number} cannot take over the data set: {type(error).__name__}: {error}; {HERE}"
        reader, refusal = None, DataError(text)
    with contextlib.suppress(EOFError, BrokenPipeError):  # the training process has ended
        answer: tuple[Any, Exception | None]
        while job := pipe.recv():
            try:
                answer = (reader.batch(*job), None) if refusal is None else (None, refusal)
            except Exception as error:
                answer = None, _portable(error, number)
            pipe.send(answer)


def _portable(error: Exception, number: int) -> Exception:
    """The exception, or one that says the same if it cannot be sent to another process; where it tells of a bug, with its traceback."""
    told = f"in reading worker {number}:\n{''.join(traceback.format_exception(error))}"
    bug = not isinstance(error, DataError)
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return noted(error, told) if bug else error


def noted(error: Exception, told: str) -> Exception:
    """The exception with words that its traceback will end with."""
    if hasattr(error, "add_note"):  # Python 3.11
        error.add_note(told)
    else:
        error.__cause__ = RuntimeError(told)
    return error


def _end_with(parent: Any) -> None:
    """Ends this process when the training process does, however that ended."""
    parent.join()
    os._exit(1)
