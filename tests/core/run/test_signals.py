"""Signals, in processes of their own: the first asks, the second ends at once."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = """
import sys, time
from ppface.core.run import cli
from ppface.core.run import signals

def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)

def main():
    print("ready", flush=True)
    {body}

cli.run(main)
"""
UNWINDS = "\n    ".join(["try:", "    work(30)", "finally:", "    print('tidied', flush=True)"])
WAITS = "\n    ".join(
    [
        "with signals.deferred('finishing') as stop_signal:",
        "    while not stop_signal():",
        "        work(0.05)",
        "    work({wait})",
        "    print('finished', flush=True)",
        "print('never', flush=True)",
    ]
)
PROMPT = "\n    ".join(
    [
        "with signals.deferred('finishing'):",
        "    try:",
        "        with signals.interruptible():",
        "            work(30)",
        "    except signals.Stopped:",
        "        print('broken off', flush=True)",
        "    print('saved', flush=True)",
    ]
)
COMPUTES = "\n    ".join(["import hashlib", "with signals.deferred('finishing'):", "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"])
MODULE = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_DFL)
time.sleep({seconds})
print("imported", flush=True)
"""
SIGNALS = [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")]


@pytest.fixture(autouse=True)
def hears_closed_terminals():
    """Also where the tests were started by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def run(body: str, *signals: int, pause: float = 0.3, **started) -> tuple[int, str, str, float]:
    """What a tool with this body returned and said, and the seconds it took to end after the last of these signals."""
    tool = subprocess.Popen(
        [sys.executable, "-c", TOOL.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, **started
    )
    assert tool.stdout is not None
    assert tool.stdout.readline() == "ready\n"
    start = time.monotonic()
    time.sleep(0.1)
    for number in signals:
        tool.send_signal(number)
        start = time.monotonic()
        time.sleep(pause)
    out, err = tool.communicate(timeout=20)
    return tool.returncode, out, err, time.monotonic() - start


@pytest.mark.parametrize(("number", "code", "name"), SIGNALS)
def test_a_tool_unwinds_and_says_by_what_it_was_stopped(number, code, name):
    returned, out, err, _ = run(UNWINDS, number)
    assert (returned, out, err) == (code, "tidied\n", f"stopped by {name}\n")


def test_deferred_work_ends_where_it_chooses():
    returned, out, err, _ = run(WAITS.format(wait=0.5), signal.SIGTERM)
    assert (returned, out) == (143, "finished\n")
    assert err == "SIGTERM: finishing\nstopped by SIGTERM\n"


def test_a_second_signal_ends_it_at_once():
    returned, out, err, seconds = run(WAITS.format(wait=15), signal.SIGINT, signal.SIGTERM)
    assert (returned, out, err) == (143, "", "SIGINT: finishing\nSIGTERM again: stopped at once\n")
    assert seconds < 2


def test_a_second_signal_ends_it_at_once_in_the_middle_of_a_computation_outside_of_python():
    returned, _, err, seconds = run(COMPUTES, signal.SIGTERM, signal.SIGINT)
    assert (returned, err) == (130, "SIGINT again: stopped at once\n")
    assert seconds < 2


def test_signals_that_count_as_one_do_not_end_it():
    returned, out, _, _ = run(
        "signals.ignore_repeats(5.0)\n    " + WAITS.format(wait=0.5), signal.SIGTERM, signal.SIGTERM, signal.SIGTERM, pause=0.1
    )
    assert (returned, out) == (143, "finished\n")


def test_a_part_of_deferred_work_can_be_broken_off():
    returned, out, _, _ = run(PROMPT, signal.SIGINT)
    assert (returned, out) == (130, "broken off\nsaved\n")


ABANDONS = "\n    ".join(
    [
        "with signals.deferred(''):",
        "    {before}",
        "    with signals.immediate_exit(lambda: print('tidied', flush=True)):",
        "        try:",
        "            work(30)",
        "        except BaseException:",
        "            print('never')",
    ]
)


@pytest.mark.parametrize(("before", "tidied"), [("pass", "tidied\n"), ("work(0.5)", "")])
def test_what_no_exception_may_break_off_is_abandoned(before, tidied):
    returned, out, err, seconds = run(ABANDONS.format(before=before), signal.SIGINT, pause=0)
    assert (returned, out, err) == (130, tidied, "stopped by SIGINT\n")
    assert seconds < 2


def test_a_signal_after_the_work_ends_it_at_once():
    returned, out, err, seconds = run("import atexit; atexit.register(work, 15)", signal.SIGTERM, pause=0)
    assert (returned, out, err) == (143, "", "")
    assert seconds < 2


def patient(seconds: float, wait: float, grace: float) -> str:
    lines = [
        f"signals.STOP_TIMEOUT_S = {grace}",
        "with signals.deferred('finishing'):",
        "    try:",
        f"        with signals.time_limit({seconds}):",
    ]
    lines += [
        "            try:",
        f"                work({wait})",
        "            except Exception: pass",
        "        print('in time', flush=True)",
    ]
    return "\n    ".join([*lines, "    except signals.Overdue:", "        print('overdue', flush=True)", "    work(0.5)"])


@pytest.mark.parametrize(("seconds", "wait", "said"), [(0, 0.6, "in time\n"), (0.3, 30, "overdue\n"), (5, 0.6, "in time\n")])
def test_patience_is_over_when_its_time_is(seconds, wait, said):
    assert run(patient(seconds, wait, 0.1))[:3] == (0, said, "")


@pytest.mark.parametrize("seconds", [0, 60])
def test_waiting_is_short_after_a_signal(seconds):
    code, out, err, took = run(patient(seconds, 30, 0.5), signal.SIGTERM)
    assert (code, out, err) == (143, "overdue\n", "SIGTERM: finishing\nstopped by SIGTERM\n") and took < 5


def test_a_signal_that_is_sent_twice_at_once_is_one():
    code, out, err, _ = run(WAITS.format(wait=0.3), signal.SIGTERM, signal.SIGTERM, pause=0.001)
    assert (code, out, err) == (143, "finished\n", "SIGTERM: finishing\nstopped by SIGTERM\n")


def test_a_signal_while_the_interpreter_ends_changes_nothing():
    body = "\n    ".join(
        [
            "import os, builtins",
            "class Slow:",
            "    def __del__(self, write=os.write, sleep=time.sleep):",
            "        write(1, b'ending\\n')",
            "        sleep(0.5)",
            "builtins.slow = Slow()",
        ]
    )
    with subprocess.Popen([sys.executable, "-c", TOOL.format(body=body)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == [b"ready\n", b"ending\n"]
        process.terminate()
        assert process.wait() == 0


def test_under_nohup_a_closed_terminal_does_not_count():
    body = "signal = __import__('signal'); signal.raise_signal(signal.SIGHUP); work(0.3); print('goes on')"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(body)[:3] == (0, "goes on\n", "")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_gone_is_no_error(tmp_path):
    """The tool's words after it, which nobody can hear, do not keep it from stopping cleanly."""
    file = tmp_path / "done"
    body = f"with signals.deferred('finishing') as stop_signal:\n        while not stop_signal(): work(0.05)\n        print('words', flush=True); open({str(file)!r}, 'w').close()"
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", TOOL.format(body=body)])
    assert os.read(terminal, 5) == b"ready"
    time.sleep(0.1)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    assert file.exists()


def import_paddle(folder: Path, *signals: int, seconds: float, pause: float) -> tuple[int, str, str, float]:
    """As `run`, with the signals sent in the middle of an import of a paddle that takes SIGTERM for itself."""
    (folder / "paddle.py").write_text(MODULE.format(seconds=seconds))
    path = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"}
    return run("import paddle; print('never', flush=True)", *signals, pause=pause, env=path)


def test_a_signal_waits_until_paddle_is_imported_which_does_not_get_it(tmp_path):
    returned, out, err, _ = import_paddle(tmp_path, signal.SIGTERM, seconds=0.5, pause=0)
    assert (returned, out, err) == (143, "imported\n", "stopped by SIGTERM\n")


def test_a_second_signal_does_not_wait_for_it(tmp_path):
    returned, out, err, seconds = import_paddle(tmp_path, signal.SIGTERM, signal.SIGTERM, seconds=15, pause=0.2)
    assert (returned, out, err) == (143, "", "SIGTERM again: stopped at once\n")
    assert seconds < 2


def test_a_tool_that_is_started_while_signals_are_held_hears_what_came_before_it_listened():
    late = TOOL.replace("import sys, time", "import sys, time; time.sleep(0.5)").format(body="print('never', flush=True)")
    start = f"import subprocess, sys\n    with signals.blocked():\n        tool = subprocess.Popen([sys.executable, '-c', {late!r}])\n    "
    returned, out, err, _ = run(start + "tool.terminate(); sys.exit(tool.wait())")
    assert (returned, out, err) == (143, "", "stopped by SIGTERM\n")


def test_a_program_of_the_user_keeps_its_own_signals():
    script = (
        "import signal; from ppface.core.run import signals; before = signal.getsignal(15)\n"
        "with signals.blocked(), signals.deferred(''): pass\n"
        "print(signal.getsignal(15) is before)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "True\n"


def test_the_help_of_every_tool_ends_with_the_exit_codes(run_tool):
    from ppface.core.run.cli import EXIT_CODES

    for tool in ("train", "eval", "export_model"):
        assert run_tool(f"tools/{tool}.py", "--help").stdout.rstrip().endswith(EXIT_CODES)
    assert "  130  stopped cleanly by Ctrl-C (SIGINT)\n  143  stopped cleanly by SIGTERM\n" in EXIT_CODES
