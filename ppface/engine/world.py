"""The processes of one run: their ranks, what they exchange, and how they stop and fail together."""

import contextlib
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ppface.core.errors import DataError, UserError
from ppface.core.run import signals
from ppface.engine.devices import PARENT, PEER_FAILED, launched

T = TypeVar("T")
PEER_ENDED = "another process of this training failed or was killed; its output has the cause"
STOPPING = "finishing this step and saving; a second signal stops at once"
POLL_INTERVAL_S = 0.02
FLAGS_BLOCK = re.compile(r"^=+ Modified FLAGS detected =+\n(?:FLAGS.*\n)*=+\n", re.MULTILINE)


class PeerError(UserError):
    """Another process of the run failed or was killed; that process, or the launcher, reports the cause."""

    exit_code = PEER_FAILED


def _end_with(parent: int) -> None:
    """Ends this process within a second after the one that launched it, however that ended."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


@contextlib.contextmanager
def _without_flags() -> Iterator[None]:
    """Leaves out the list of flags that Paddle always prints here; whatever else is printed in Python follows at the end."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    finally:
        sys.stderr.write(FLAGS_BLOCK.sub("", printed.getvalue()))


class World:
    """The processes of this run.

    Attributes:
        rank: this process, 0..size-1; 0 writes files and evaluates.
        size: how many processes.
        device: "cpu" or "gpu".

    Args:
        device: as above.
        seed: of the randomness before training begins, mainly the initial weights.
    """

    def __init__(self, device: str, seed: int = 0):
        import paddle

        if parent := os.environ.pop(PARENT, None):
            threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()

        self.device = device
        own = os.environ.get("FLAGS_selected_gpus", "0").split(",")[0]  # the launcher gives each process its GPU
        paddle.set_device("cpu" if device == "cpu" else f"gpu:{own}")
        if launched():
            signals.defer(STOPPING)  # no process may end alone, or the others would wait for it
            if parent is None:
                signals.ignore_repeats(1.0)  # Paddle's launcher sends SIGTERM three times, in 0.4 seconds
            if device == "cpu":
                os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
            with signals.blocked(), _without_flags():  # blocked: the threads started here never receive a signal, the main thread does
                paddle.distributed.init_parallel_env()
        paddle.seed(seed)
        self.rank, self.size = (paddle.distributed.get_rank(), paddle.distributed.get_world_size()) if launched() else (0, 1)
        self._meetings = 0

    def wrap(self, step: Any) -> Any:
        """The training step as the loop calls it: its gradients are averaged over all processes."""
        import paddle

        return paddle.DataParallel(step) if self.size > 1 else step

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Within the block an error that ends one process is announced, so that the others, which lose it, end quietly."""
        if self.size == 1:
            yield
            return
        store = _Store()
        try:
            yield
        except UserError:
            with contextlib.suppress(PeerError):
                store.add("ppface/failed", 1)
            raise
        except RuntimeError as error:  # what Paddle raises when another process has ended
            if "gloo/transport" in str(error) or store.add("ppface/failed", 0):
                raise PeerError(PEER_ENDED) from None
            raise

    def all_or_none(self, work: Callable[[], T]) -> T | Exception:
        """What `work` returns in this process. If it raises in any process, all get an exception, so that none waits for another.

        A DataError in some processes becomes a DataError in all, with the messages of all; any other exception is returned in the process
        that raised it, and becomes a PeerError in the others.
        """
        done: T | Exception
        message, bug = "", "bug "
        try:
            done = work()
        except DataError as error:
            done, message = error, str(error)
        except Exception as error:
            done, message = error, f"{bug}process {self.rank} raised {type(error).__name__}, see its log"
        messages = list(dict.fromkeys(line for line in self.gather_text(message) if line))
        if bugs := [line.removeprefix(bug) for line in messages if line.startswith(bug)]:
            return done if message.startswith(bug) else PeerError("\n".join(bugs))
        return DataError("\n".join(messages)) if messages else done

    def first_does(self, work: Callable[[], bool]) -> bool:
        """Process 0 does `work` and all return what it returned; the others wait. All must call it, in the same order.

        They wait by polling the store: gloo's own barrier times out after 30 seconds, less than an evaluation takes.
        """
        if self.size == 1:
            return work()
        store, place = self._meeting()
        said = self.rank == 0 and bool(work())
        arrived = store.add(place, 1)
        while arrived < self.size:
            time.sleep(POLL_INTERVAL_S)
            arrived = store.add(place, 0)
        return self.mean({"said": float(said)})["said"] > 0

    def from_first(self, work: Callable[[], str]) -> str:
        """The text that `work` returns in process 0; the others wait for it. An error of it is raised in all, see `all_or_none`."""
        done: list[Any] = [""]

        def attempt() -> bool:
            try:
                done[0] = work()
            except Exception as error:
                done[0] = error
            return True

        def outcome() -> str:
            if isinstance(done[0], Exception):
                raise done[0]
            return done[0]

        self.first_does(attempt)
        text = self.all_or_none(outcome)
        if isinstance(text, Exception):
            raise text
        return self.gather_text(text)[0]

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each value over all processes. All must call it, with the same names."""
        if self.size == 1 or not values:
            return values
        import paddle

        sums = paddle.to_tensor(list(values.values()), "float64")
        paddle.distributed.all_reduce(sums)
        return dict(zip(values, (sums / self.size).numpy().tolist(), strict=True))

    def gather_text(self, text: str) -> list[str]:
        """The texts of all processes, by rank. All must call it; while all are empty it costs one small all-reduce."""
        if self.size == 1:
            return [text]
        import paddle

        filled = paddle.to_tensor([int(bool(text))])
        paddle.distributed.all_reduce(filled)
        if not filled.item():
            return [""] * self.size
        store, place = self._meeting()
        store.set(f"{place}/{self.rank}", json.dumps(text))
        return [json.loads(store.get(f"{place}/{rank}")) for rank in range(self.size)]

    def stops(self) -> bool:
        """Whether a signal reached any process, so that all end after this step. All must call it.

        It costs one small all-reduce. A counter in the store would cost 40 ms a call, the delayed acknowledgement of its TCP connection.
        """
        return any(self.gather_text("stop" if signals.stop_signal() else ""))

    def _meeting(self) -> tuple["_Store", str]:
        """The store, and a key in it that all processes use for this exchange alone."""
        self._meetings += 1
        return _Store(), f"ppface/{self._meetings}"


class _Store:
    """A key-value store that the processes share. A signal would interrupt a call of Paddle's own store with an error.

    The store ends with process 0: from then on all calls raise PeerError.
    """

    def __init__(self):
        from paddle.base.core import create_or_get_global_tcp_store

        self._store = create_or_get_global_tcp_store()

    def add(self, key: str, count: int) -> int:
        """Adds to a number and returns it."""
        with _store_errors():
            return self._store.add(key, count)

    def set(self, key: str, text: str) -> None:
        with _store_errors():
            self._store.set(key, text)

    def get(self, key: str) -> str:
        """The text of a key, waiting until it is set."""
        with _store_errors():
            return self._store.get(key).decode()


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        with signals.uninterrupted():
            yield
    except (ValueError, RuntimeError):  # what Paddle raises when the store has ended
        raise PeerError(PEER_ENDED) from None
