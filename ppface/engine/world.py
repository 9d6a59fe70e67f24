"""The processes of one run: which one this is, what they tell one another, and how they stop and fail together."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ppface.core.errors import DataError, UserError
from ppface.core.run import signals
from ppface.engine.devices import PARENT, PEER, launched

T = TypeVar("T")
GONE = "another process of this run ended, see its log"
STOPPING = "finishing this step and saving; once more stops at once"


class PeerError(UserError):
    """Another process of the run failed or was killed; it, or who launched it, tells why."""

    exit_code = PEER


def _end_with(parent: int) -> None:
    """Ends this process soon after the one that launched it, however that ended."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


class World:
    """The processes of this run.

    Attributes:
        rank: this process, 0..size-1; 0 writes files and evaluates.
        size: how many processes.
        device: "cpu" or "gpu".

    Args:
        device: as above.
        seed: of what is drawn until training begins, above all the first weights.
    """

    def __init__(self, device: str, seed: int = 0):
        import paddle

        if parent := os.environ.pop(PARENT, None):
            threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()

        self.device = device
        own = os.environ.get("FLAGS_selected_gpus", "0").split(",")[0]  # the launcher gives each process its GPU
        paddle.set_device("cpu" if device == "cpu" else f"gpu:{own}")
        if launched():
            signals.defer(STOPPING)  # no process may end by itself any more, or the others would wait for it
            if parent is None:
                signals.ignore_repeats(1.0)  # Paddle's launcher sends SIGTERM three times, in 0.4 seconds
            if device == "cpu":
                os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
            with signals.blocked():  # so do the threads that it starts for ever: the main one is to hear
                paddle.distributed.init_parallel_env()
        paddle.seed(seed)
        self.rank, self.size = (paddle.distributed.get_rank(), paddle.distributed.get_world_size()) if launched() else (0, 1)
        self._meetings, self._last = 0, 0

    def wrap(self, model: Any) -> Any:
        """The model as the loop calls it: its gradients are averaged over all processes."""
        import paddle

        return paddle.DataParallel(model) if self.size > 1 else model

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Within the block a mistake that ends one process is announced: the others, whose talk with it breaks off, end quietly."""
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
        except RuntimeError as error:  # what Paddle makes of a process that is gone
            if "gloo/transport" in str(error) or store.add("ppface/failed", 0):
                raise PeerError(GONE) from None
            raise

    def all_or_none(self, work: Callable[[], T]) -> T | Exception:
        """What `work` returns here. Where it raises in one process, all get an exception, so that none waits for another: its own a process
        that met a bug, PeerError those that hear of it, and all a DataError with what each has met where that is all."""
        done: T | Exception
        words, bug = "", "bug "
        try:
            done = work()
        except DataError as error:
            done, words = error, str(error)
        except Exception as error:
            done, words = error, f"{bug}process {self.rank} met a {type(error).__name__}, see its log"
        told = list(dict.fromkeys(line for line in self.tell_all(words) if line))
        if bugs := [line.removeprefix(bug) for line in told if line.startswith(bug)]:
            return done if words.startswith(bug) else PeerError("\n".join(bugs))
        return DataError("\n".join(told)) if told else done

    def first_does(self, work: Callable[[], bool]) -> bool:
        """Process 0 does `work` and all return what it returned; the others wait. All must call it, in the same order.

        They wait by asking the store: gloo's own barrier gives up after 30 seconds, less than an evaluation takes.
        """
        if self.size == 1:
            return work()
        store, place = self._meeting()
        if self.rank == 0:
            store.add(f"{place}/said", int(work()))
        store.add(place, 1)
        while store.add(place, 0) < self.size:
            time.sleep(0.02)
        said = bool(store.add(f"{place}/said", 0))
        if self.rank > 0:
            store.add(f"{place}/left", 1)
        while self.rank == 0 and store.add(f"{place}/left", 0) < self.size - 1:  # the store ends with this process: all must have asked it
            time.sleep(0.02)
        return said

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each value over all processes. All must call it, with the same names."""
        if self.size == 1 or not values:
            return values
        import paddle

        sums = paddle.to_tensor(list(values.values()), "float64")
        paddle.distributed.all_reduce(sums)
        return dict(zip(values, (sums / self.size).numpy().tolist(), strict=True))

    def tell_all(self, words: str) -> list[str]:
        """The words of all processes, by rank. All must call it; it costs one small sum over them while nobody has any."""
        if self.size == 1:
            return [words]
        import paddle

        talks = paddle.to_tensor([int(bool(words))])
        paddle.distributed.all_reduce(talks)
        if not talks.item():
            return [""] * self.size
        store, place = self._meeting()
        store.set(f"{place}/{self.rank}", words or " ")
        return [store.get(f"{place}/{rank}").strip() for rank in range(self.size)]

    def stops(self, step: int) -> bool:
        """Whether training ends with this step, since a signal asked for it: the same step in all processes.

        The first process announces the step after the one in which it heard. It does so before it enters that step, and no process
        can leave a step that another has not entered, for they add up their gradients: so all have read it by then.
        """
        if self.size == 1:
            return signals.stop_signal() > 0
        store = _Store()
        if signals.stop_signal():
            store.add("ppface/asked", 1)
        if self.rank == 0 and not self._last and store.add("ppface/asked", 0):
            self._last = store.add("ppface/last", step + 1)
        last = self._last or store.add("ppface/last", 0)
        return 0 < last <= step

    def _meeting(self) -> tuple["_Store", str]:
        """The store, and a name in it that all processes use for this occasion alone."""
        self._meetings += 1
        return _Store(), f"ppface/{self._meetings}"


class _Store:
    """What the processes tell one another, by key. A signal would break off a call of Paddle's own store, and make it an error.

    The store ends with process 0: then all calls raise PeerError.
    """

    def __init__(self):
        from paddle.base.core import create_or_get_global_tcp_store

        self._store = create_or_get_global_tcp_store()

    def add(self, key: str, count: int) -> int:
        """Adds to a number and returns it."""
        with _at_all():
            return self._store.add(key, count)

    def set(self, key: str, words: str) -> None:
        with _at_all():
            self._store.set(key, words)

    def get(self, key: str) -> str:
        """The words under a key, awaited."""
        with _at_all():
            return self._store.get(key).decode()


@contextlib.contextmanager
def _at_all() -> Iterator[None]:
    try:
        with signals.uninterrupted():
            yield
    except (ValueError, RuntimeError):  # what Paddle makes of a store that is gone
        raise PeerError(GONE) from None
