"""Where a run computes: CPU or GPU, number of processes, and how the training command starts and stops them."""

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

PEER_FAILED = 70  # exit code of a process that ends because another one failed, which reports the cause
PARENT = "PPFACE_PARENT"  # environment variable: id of the process that launched this one
EXIT_TIMEOUT_S = 5.0  # for processes to end by themselves after a signal; then they are killed
REPORT_TIMEOUT_S = 3.0  # for the other processes to end and report after one failed
POLL_INTERVAL_S = 0.05


def pick(device: Literal["auto", "cpu", "gpu"]) -> str:
    """The device to use; "auto" is the GPU if Paddle sees one.

    Raises:
        UserError: `gpu` without a GPU, or with a Paddle built without CUDA.
    """
    import paddle

    found = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device == "gpu" and not found:
        raise UserError("device: expected a GPU, but Paddle finds none (install paddlepaddle-gpu, or set device: cpu)")
    return "gpu" if found and device != "cpu" else "cpu"


def launched() -> bool:
    """Whether a launcher (ours or paddle.distributed.launch) started this process as one of several."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1


def processes(wanted: int | str, device: str) -> int:
    """How many training processes the training command starts: on CPUs one per core, on a GPU one."""
    if launched():
        return 1
    if wanted == "auto":
        return cores() if device == "cpu" else 1
    return int(wanted)


def launch(command: list[str], count: int) -> int:
    """Runs `command` as `count` data-parallel processes of one thread each on this machine; returns the first failing exit code, else 0.

    Only the first process prints; if another one fails, the error at the end of its output is printed. When one fails, the rest are
    stopped, so that none waits forever; they also end if this process is killed (see World). A signal is forwarded to all of them, and
    this process waits for them to end; a second signal kills them.
    """
    ports = [_free_port() for _ in range(count)]
    endpoints = [f"127.0.0.1:{port}" for port in ports]
    common = {PARENT: str(os.getpid()), "PADDLE_TRAINERS_NUM": str(count), "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints)}
    common |= {"PADDLE_MASTER": endpoints[0], "PADDLE_DISTRI_BACKEND": "gloo", "OMP_NUM_THREADS": "1"}
    children: list[subprocess.Popen] = []
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(signals.deferred("", on_second_signal=lambda: _kill(children)))
            stack.callback(lambda: _stop(children))
            outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in endpoints]
            with signals.blocked():
                for rank, endpoint in enumerate(endpoints):
                    environment = os.environ | common | {"PADDLE_TRAINER_ID": str(rank), "PADDLE_CURRENT_ENDPOINT": endpoint}
                    stdout, stderr = (None, None) if rank == 0 else (subprocess.DEVNULL, outputs[rank])
                    # a session of its own: Ctrl-C in a terminal reaches this process alone, which forwards it
                    children.append(subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr, start_new_session=True))
            rank, code = _wait(children)
            if rank > 0:
                print(_error_in(outputs[rank]), file=sys.stderr)
            if code < 0 and not signals.stop_signal():
                print(f"error: {_killed_message(rank, count, -code)}", file=sys.stderr)
    except signals.Stopped as stopped:  # the first process has reported it
        return stopped.exit_code
    return code if code >= 0 else 128 - code


def _killed_message(rank: int, count: int, number: int) -> str:
    hint = "; Linux kills processes when memory runs out, see dmesg" if number == signal.SIGKILL else ""
    return f"process {rank} of {count} was killed by signal {number} ({signals.signal_name(number)}){hint}; continue the run with --resume"


def _error_in(file: IO[bytes]) -> str:
    """The error message at the end of a process's output, else the last 4,000 characters."""
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
    forwarded = 0
    died: dict[int, int] = {}  # ranks and codes in the order in which they ended
    while True:
        codes = [child.poll() for child in children]
        died |= {rank: code for rank, code in enumerate(codes) if code}
        if signals.stop_signal() and not forwarded:
            forwarded = signals.stop_signal()
            for child in children:
                child.send_signal(forwarded)
        if any(codes):
            # after a signal they end together, unless one received it before it had connected to the others, which then wait in vain;
            # after a failure the others may fail too: wait for their exit codes before choosing which one to report
            _wait_for_exit(children, EXIT_TIMEOUT_S if forwarded else REPORT_TIMEOUT_S)
            died |= {rank: code for rank, child in enumerate(children) if (code := child.poll())}
            own = {rank: code for rank, code in died.items() if code > 0 and code != PEER_FAILED}
            # if none reports an error, the first that was killed; gloo aborts a process that loses its connection to another
            return min(own.items()) if own else min(died.items(), key=lambda one: (one[1] == PEER_FAILED, one[1] == -signal.SIGABRT))
        if all(code == 0 for code in codes):
            return 0, 0
        time.sleep(POLL_INTERVAL_S)


def _wait_for_exit(children: list[subprocess.Popen], seconds: float) -> None:
    """Waits until all processes have ended by themselves, at most this long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(POLL_INTERVAL_S)


def _stop(children: list[subprocess.Popen], timeout: float = EXIT_TIMEOUT_S) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + timeout
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _kill(children: list[subprocess.Popen]) -> None:
    for child in children:
        child.kill()
    _wait_for_exit(children, 1.0)
