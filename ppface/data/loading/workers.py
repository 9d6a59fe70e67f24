"""Reading workers: processes that read batches; errors name the worker that died or timed out, and its sample."""

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
from ppface.data.loading.worker_diagnostics import ResourceMonitor

POLL_INTERVAL_S = 0.25  # between two checks of the workers while the training waits for a batch
REPORT_DELAY_S = 5.0  # until a worker's death is logged, if the training has not requested a batch in the meantime
JOIN_TIMEOUT_S = 5.0  # for a killed worker or its thread to end
START_TIMEOUT_S = 60.0  # the least time that a worker has until its first sample
EXIT_TIMEOUT_S = 1.0  # for a worker to exit by itself before it is killed
FILE_SYSTEM_HINT = "check that its file system responds"
NO_WORKERS_HINT = "train.workers=0 reads in the training process itself"


@dataclass(eq=False)
class Job:
    """One batch to be read.

    Attributes:
        epoch, indices: arguments of the reader.
        future: the batch or an exception; cancelled if the worker died.
        worker: which one reads the batch, None before it has started.
    """

    epoch: int
    indices: list[int]
    future: Future = field(default_factory=Future)
    worker: "Worker | None" = None


class Worker:
    """One reading process, as the training process sees it.

    Attributes:
        number: 0 .. count-1, for messages.
        current: (sample, 1 while it is being read), written by the process; the sample is -1 before the first one.
        results: batches received from it.
    """

    def __init__(self, number: int, reader: bytes):
        context = multiprocessing.get_context("spawn")
        self.number, self.results, self.reader = number, 0, reader
        self.current = context.RawArray("q", [-1, 0])
        self.pipe, child_pipe = context.Pipe()
        arguments = number, child_pipe, self.current
        self.process = context.Process(target=worker_main, args=arguments, name=f"reading worker {number}", daemon=True)
        with _sigint_blocked():
            self.process.start()
        child_pipe.close()

    def state(self) -> tuple[int, ...]:
        """Changes as long as the worker makes progress."""
        return (*self.current, self.results)


class Workers:
    """A pool of processes that read batches in any order.

    One thread per worker sends it one job after another and receives the results, so that the worker never waits for the training.

    Args:
        reader: has `batch(epoch, indices)`, `dataset`, and writes the sample that it reads into `current`.
        count: processes.
        timeout: time limit in seconds for one sample while the training waits for it; 0: none.

    Raises:
        DataError: processes that cannot be started, or a data set that cannot be pickled.
    """

    def __init__(self, reader: Any, count: int, timeout: float):
        self.reader, self.timeout = reader, timeout
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._death_reported = threading.Event()  # also set once deaths no longer matter
        self._resources = ResourceMonitor()
        self.workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        try:
            pickled = bytes(ForkingPickler.dumps(reader))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"train.dataset or its transforms cannot be pickled for workers: {reason}; {NO_WORKERS_HINT}") from error
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
        """Queues a batch for the first worker that is free."""
        job = Job(epoch, indices)
        self._jobs.put(job)
        return job

    def result(self, job: Job) -> Any:
        """Waits for the batch of a job.

        Raises:
            DataError: a worker died, cannot start, or timed out; or raised by the data set.
            Exception: any other that the data set raises.
        """
        last_state, idle_s = None, 0.0
        while True:
            dead = [worker for worker in self.workers if worker.process.exitcode is not None]
            if dead and self._ended_by_stop_signal(dead):  # sent to the whole process group: read the step's batch in this process
                return job.future.result() if _finished(job) else self.reader.batch(job.epoch, job.indices)
            if dead:
                self._death_reported.set()
                raise DataError(self._death_message(dead[0]))
            wait([job.future], POLL_INTERVAL_S)
            if _finished(job):
                return job.future.result()
            worker = job.worker or self.workers[0]
            state = worker.state()
            # counted in polls, not by the clock, so that the time in which the whole run was suspended does not count
            last_state, idle_s = state, idle_s + POLL_INTERVAL_S if state == last_state else 0.0
            allowed = (self.timeout if worker.results or state[1] else max(self.timeout, START_TIMEOUT_S)) if self.timeout else math.inf
            if idle_s >= (min(allowed, signals.STOP_TIMEOUT_S) if signals.stop_signal() else allowed):
                raise DataError(self._timeout_message(worker, idle_s))

    def close(self) -> None:
        """Ends all workers without waiting for batches that are being read."""
        self._death_reported.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + (EXIT_TIMEOUT_S if self._threads else 0)
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
        for worker in self.workers:
            worker.process.join(JOIN_TIMEOUT_S)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
        for worker in self.workers:
            worker.pipe.close()

    def _serve(self, worker: Worker) -> None:
        """The thread of one worker."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)  # handled by the main thread
        job = None
        try:
            worker.pipe.send_bytes(worker.reader)
            worker.reader = b""
            while job := self._jobs.get():
                job.worker = worker
                worker.pipe.send((job.epoch, job.indices))
                batch, error = worker.pipe.recv()
                worker.results += 1
                if error is None:
                    job.future.set_result(batch)
                else:
                    job.future.set_exception(error)
            worker.pipe.send(None)
        except (EOFError, OSError):  # it died, or was ended by `close`
            worker.process.join(JOIN_TIMEOUT_S)
            if job:
                job.future.cancel()
            if not self._death_reported.wait(REPORT_DELAY_S) and not self._ended_by_stop_signal([worker]):
                log.error("%s", self._death_message(worker))

    def _ended_by_stop_signal(self, dead: list[Worker]) -> bool:
        """Whether these were ended by the signal that requests this process to stop, which may arrive here a little later."""
        if any(worker.process.exitcode not in [-number for number in signals.SIGNALS] for worker in dead):
            return False
        deadline = time.monotonic() + 1.0
        while not signals.stop_signal() and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(signals.stop_signal())

    def _death_message(self, worker: Worker) -> str:
        code = worker.process.exitcode
        if code is not None and code < 0:
            how = f"was killed by signal {-code} ({signals.signal_name(-code)})"
        else:
            how = f"ended with exit code {code}"
        hints = self._resources.hints()
        return "; ".join([f"{self._name(worker)} {how} {self._progress(worker)}", *hints, f"try fewer train.workers; {NO_WORKERS_HINT}"])

    def _timeout_message(self, worker: Worker, seconds: float) -> str:
        reason = f"{self._name(worker)} timed out: no progress for {seconds:g} s {self._progress(worker)} (train.timeout={self.timeout:g})"
        return "; ".join([reason, *self._resources.hints(), FILE_SYSTEM_HINT, NO_WORKERS_HINT])

    def _name(self, worker: Worker) -> str:
        return f"reading worker {worker.number} of {len(self.workers)} (process {worker.process.pid})"

    def _progress(self, worker: Worker) -> str:
        index, reading = worker.current
        if index < 0:
            return "before its first sample"
        return f"{'while' if reading else 'after'} reading {describe_sample(self.reader.dataset, index)}"


def describe_sample(dataset: Any, index: int) -> str:
    """Number and name of a sample, for messages."""
    try:
        return f"sample {index} ({dataset.name(index)})"
    except Exception:  # must not hide the error that is being reported
        return f"sample {index}"


def _finished(job: Job) -> bool:
    return job.future.done() and not job.future.cancelled()


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Processes started within the block ignore SIGINT, which a terminal sends to the whole group: only the training process handles it."""
    resource_tracker.ensure_running()  # if it were started within the block, it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_main(number: int, pipe: Any, current: Any) -> None:
    """Runs a worker: receives the reader, then replies to each (epoch, indices) with (batch, None) or (None, exception); None ends it."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    try:
        reader, failure = pipe.recv(), None
        reader.current = current
    except Exception as error:  # the import of the data set's module may raise anything
        text = f"reading worker {number} cannot load the data set: {type(error).__name__}: {error}; {NO_WORKERS_HINT}"
        reader, failure = None, DataError(text)
    with contextlib.suppress(EOFError, ConnectionError):  # the training process has ended
        result: tuple[Any, Exception | None]
        while job := pipe.recv():
            try:
                result = (reader.batch(*job), None) if failure is None else (None, failure)
            except Exception as error:
                result = None, _picklable(error, number)
            pipe.send(result)


def _picklable(error: Exception, number: int) -> Exception:
    """The exception, or a RuntimeError with its text if it cannot be pickled; unless it is a DataError, with the worker's traceback."""
    note = f"in reading worker {number}:\n{''.join(traceback.format_exception(error))}"
    bug = not isinstance(error, DataError)
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return with_note(error, note) if bug else error


def with_note(error: Exception, note: str) -> Exception:
    """The exception with a note that is printed after its traceback."""
    if hasattr(error, "add_note"):  # Python 3.11
        error.add_note(note)
    else:
        error.__cause__ = RuntimeError(note)
    return error


def _exit_with_parent(parent: Any) -> None:
    """Ends this process when the training process ends, for whatever reason."""
    parent.join()
    os._exit(1)
