"""Signals, in processes of their own: the first asks, the second ends at once."""

import signal
import subprocess
import sys
import time

import pytest

TOOL = """
import sys, time
from ppface.core import cli, stop

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
        "with stop.deferred('finishing') as asked:",
        "    while not asked():",
        "        work(0.05)",
        "    work({wait})",
        "    print('finished', flush=True)",
        "print('never', flush=True)",
    ]
)
PROMPT = "\n    ".join(
    [
        "with stop.deferred('finishing'):",
        "    try:",
        "        with stop.prompt():",
        "            work(30)",
        "    except stop.Stopped:",
        "        print('broken off', flush=True)",
        "    print('saved', flush=True)",
    ]
)


def run(body: str, *signals: int, pause: float = 0.3) -> tuple[int, str, str, float]:
    tool = subprocess.Popen(
        [sys.executable, "-c", TOOL.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert tool.stdout is not None
    assert tool.stdout.readline() == "ready\n"
    time.sleep(0.1)
    for number in signals:
        tool.send_signal(number)
        time.sleep(pause)
    start = time.monotonic()
    out, err = tool.communicate(timeout=20)
    return tool.returncode, out, err, time.monotonic() - start


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_tool_unwinds_and_says_by_what_it_was_stopped(number, code, name):
    returned, out, err, _ = run(UNWINDS, number)
    assert (returned, out, err) == (code, "tidied\n", f"stopped by {name}\n")


def test_deferred_work_ends_where_it_chooses():
    returned, out, err, _ = run(WAITS.format(wait=0.5), signal.SIGTERM)
    assert (returned, out) == (143, "finished\n")
    assert err == "SIGTERM: finishing\nstopped by SIGTERM\n"


def test_a_second_signal_ends_it_at_once():
    returned, out, _, seconds = run(WAITS.format(wait=15), signal.SIGINT, signal.SIGTERM)
    assert (returned, out) == (143, "")
    assert seconds < 5


def test_a_part_of_deferred_work_can_be_broken_off():
    returned, out, _, _ = run(PROMPT, signal.SIGINT)
    assert (returned, out) == (130, "broken off\nsaved\n")


def test_a_program_of_the_user_keeps_its_own_signals():
    script = "import signal; from ppface.core import stop; before = signal.getsignal(15); stop.listen_again(); print(signal.getsignal(15) is before)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "True\n"
