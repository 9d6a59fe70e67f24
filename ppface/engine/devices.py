"""Where a run computes: CPU or GPU, in how many processes, and how the plain command starts and ends them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO, Literal

from ppface.core.errors import UserError
from ppface.core.run import signals
from ppface.core.run.cpu import cores

PEER = 70  # exit code of a process that ends because another one did, and told of it
PARENT = "PPFACE_PARENT"  # environment variable: the process that launched this one


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
            stack.enter_context(signals.deferred("", on_second_signal=lambda: _kill(children)))
            stack.callback(lambda: _stop(children))
            words = [stack.enter_context(tempfile.TemporaryFile()) for _ in endpoints]
            with signals.blocked():
                for rank, endpoint in enumerate(endpoints):
                    environment = os.environ | common | {"PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": endpoint}
                    stdout, stderr = (None, None) if rank == 0 else (subprocess.DEVNULL, words[rank])
                    # a session of its own: Ctrl-C in a terminal reaches this process alone, which tells the others
                    children.append(subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr, start_new_session=True))
            rank, code = _wait(children)
            if rank > 0:
                print(_last_words(words[rank]), file=sys.stderr)
            if code < 0 and not signals.stop_signal():
                print(f"error: {_death(rank, count, -code)}", file=sys.stderr)
    except signals.Stopped as stopped:  # the first process has told of it
        return stopped.exit_code
    return code if code >= 0 else 128 - code


def _death(rank: int, count: int, number: int) -> str:
    hint = "; the system kills what takes too much memory, see dmesg" if number == signal.SIGKILL else ""
    return f"process {rank} of {count} was killed by signal {number} ({signals.signal_name(number)}){hint}; --resume goes on with the run"


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
    """(rank, exit code) of the process that failed or was stopped, negative for a signal, else (0, 0)."""
    told = 0
    died: dict[int, int] = {}  # ranks and codes in the order in which they ended
    while True:
        codes = [child.poll() for child in children]
        died |= {rank: code for rank, code in enumerate(codes) if code}
        if signals.stop_signal() and not told:
            told = signals.stop_signal()
            for child in children:
                child.send_signal(told)
        if any(codes):
            # after a signal they end together, unless one heard it before it had met the others, who wait for it in vain;
            # one mistake stops all of them, or the failing one takes the rest along: see who says what
            _grant(children, 5.0 if told else 3.0)
            died |= {rank: code for rank, child in enumerate(children) if (code := child.poll())}
            own = {rank: code for rank, code in died.items() if code > 0 and code != PEER}
            # without one who tells of a mistake, who was killed first; gloo aborts where it loses another process
            return min(own.items()) if own else min(died.items(), key=lambda one: (one[1] == PEER, one[1] == -signal.SIGABRT))
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
