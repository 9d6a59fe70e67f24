"""Where a run computes: CPU or GPU, how many processes, and how those processes wait for one another."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Literal

from ppface.core import stop
from ppface.core.cpu import cores
from ppface.core.errors import UserError

PARENT = "PPFACE_PARENT"  # environment variable: the process that launched this one
STOPPING = "finishing this step and saving; once more stops at once"


def pick(device: Literal["auto", "cpu", "gpu"]) -> str:
    """The device meant: "auto" is the GPU where Paddle sees one.

    Raises:
        UserError: `gpu` on a machine, or with a Paddle, that has none.
    """
    import paddle

    found = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device == "gpu" and not found:
        raise UserError("device: expected a GPU, but this Paddle sees none (install paddlepaddle-gpu, or say device: cpu)")
    return "gpu" if found and device != "cpu" else "cpu"


def launched() -> bool:
    """Whether a launcher (ours or paddle.distributed.launch) started this process as one of several."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1


def processes(wanted: int | str, device: str) -> int:
    """How many training processes the plain command starts: on a CPU one a core, on a GPU one."""
    if launched():
        return 1
    if wanted == "auto":
        return cores() if device == "cpu" else 1
    return int(wanted)


def launch(command: list[str], count: int) -> int:
    """Runs `command` as `count` data-parallel processes of one thread each on this machine; returns the first failing exit code, else 0.

    Only the first process speaks; of another one the last words are told if it fails. When one fails, the rest are stopped, so that none
    waits forever; should this process be killed, they notice (see World). A signal is passed on to all of them, and this process waits
    until they have ended by it; a second one kills them.
    """
    ports = [_free_port() for _ in range(count)]
    endpoints = [f"127.0.0.1:{port}" for port in ports]
    common = {PARENT: str(os.getpid()), "PADDLE_TRAINERS_NUM": str(count), "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints)}
    common |= {"PADDLE_MASTER": endpoints[0], "PADDLE_DISTRI_BACKEND": "gloo", "OMP_NUM_THREADS": "1"}
    common |= {"GLOG_minloglevel": os.environ.get("GLOG_minloglevel", "2")}
    children: list[subprocess.Popen] = []
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(stop.deferred("", at_once=lambda: _kill(children)))
            stack.callback(lambda: _stop(children))
            words = [stack.enter_context(tempfile.TemporaryFile()) for _ in endpoints]
            with stop.held():
                for rank, endpoint in enumerate(endpoints):
                    environment = os.environ | common | {"PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": endpoint}
                    stdout, stderr = (None, None) if rank == 0 else (subprocess.DEVNULL, words[rank])
                    # a session of its own: Ctrl-C in a terminal reaches this process alone, which tells the others
                    children.append(subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr, start_new_session=True))
            rank, code = _wait(children)
            if rank > 0:
                print(_last_words(words[rank]), file=sys.stderr)
    except stop.Stopped as stopped:  # the first process has told of it
        return stopped.exit_code
    return code


def _last_words(file: IO[bytes]) -> str:
    """The error message at the end of what a process said, else all of its end."""
    file.seek(0)
    text = "\n" + file.read().decode(errors="replace").rstrip()
    at = text.rfind("\nerror: ")
    return text[at + 1 :] if at >= 0 else text[-4000:].lstrip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(children: list[subprocess.Popen]) -> tuple[int, int]:
    """(rank, exit code) of the process that failed or was stopped, else (0, 0)."""
    told = 0
    while True:
        codes = [child.poll() for child in children]
        if stop.asked() and not told:
            told = stop.asked()
            for child in children:
                child.send_signal(told)
        if any(codes):
            # after a signal they end together, unless one heard it before it had met the others, who wait for it in vain;
            # one mistake stops all of them, or the failing one takes the rest along: see who says what
            _grant(children, 5.0 if told else 3.0)
            failed = [(rank, code) for rank, child in enumerate(children) if (code := child.poll())]
            rank, code = next(((rank, code) for rank, code in failed if code > 0), failed[0])
            return rank, code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0, 0
        time.sleep(0.05)


def _grant(children: list[subprocess.Popen], seconds: float) -> None:
    """Lets all processes end by themselves within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(0.05)


def _stop(children: list[subprocess.Popen], patience: float = 5.0) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + patience
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _kill(children: list[subprocess.Popen]) -> None:
    for child in children:
        child.kill()
    _grant(children, 1.0)


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
            stop.defer(STOPPING)  # no process may end by itself any more, or the others would wait for it
            if parent is None:
                stop.take_as_one(1.0)  # Paddle's launcher sends SIGTERM three times, in 0.4 seconds
            if device == "cpu":
                os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
            with stop.held():  # so do the threads that it starts for ever: the main one is to hear
                paddle.distributed.init_parallel_env()
        paddle.seed(seed)
        self.rank, self.size = (paddle.distributed.get_rank(), paddle.distributed.get_world_size()) if launched() else (0, 1)
        self._meetings, self._last = 0, 0

    def wrap(self, model: Any) -> Any:
        """The model as the loop calls it: its gradients are averaged over all processes."""
        import paddle

        return paddle.DataParallel(model) if self.size > 1 else model

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
            return stop.asked() > 0
        store = _Store()
        if stop.asked():
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
    """What the processes tell one another, by key. A signal would break off a call of Paddle's own store, and make it an error."""

    def __init__(self):
        from paddle.base.core import create_or_get_global_tcp_store

        self._store = create_or_get_global_tcp_store()

    def add(self, key: str, count: int) -> int:
        """Adds to a number and returns it."""
        with stop.uninterrupted():
            return self._store.add(key, count)

    def set(self, key: str, words: str) -> None:
        with stop.uninterrupted():
            self._store.set(key, words)

    def get(self, key: str) -> str:
        """The words under a key, awaited."""
        with stop.uninterrupted():
            return self._store.get(key).decode()
