"""Reading workers: every failure is one line that names the worker and its sample; nothing hangs, no process is left."""

import errno
import logging
import multiprocessing
import operator
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from ppface.core.errors import DataError
from ppface.core.run import signals
from ppface.data.loading import worker_diagnostics, workers
from ppface.data.loading.loader import Loader
from tests.data.loading import harmful

ROOT = Path(__file__).resolve().parents[3]
ADVICE = "try fewer train.workers; train.workers=0 reads in the training process itself"


@pytest.fixture(autouse=True)
def no_shortage(monkeypatch):
    """No resource of this machine is reported as low, whatever else runs on it."""
    monkeypatch.setattr(worker_diagnostics.ResourceMonitor, "hints", lambda self: [])


def loader(dataset, **options) -> Loader:
    return Loader(dataset, [], seed=0, rank=0, world=1, shuffle=False, **{"batch_size": 4, "workers": 2} | options)


def refusal(dataset, batches=4, **options) -> str:
    """The message of the error that a training gets which reads so many batches."""
    with pytest.raises(DataError) as caught:
        list(loader(dataset, **options).stream(0, batches))
    return re.sub(r"\(process \d+\)", "(process N)", str(caught.value))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_is_reported_by_number_signal_and_sample(number):
    told = refusal(harmful.Kills(number))
    how = f"was killed by signal {int(number)} ({number.name}) while reading sample 5 (pixel-5)"
    assert re.fullmatch(rf"reading worker [01] of 2 \(process N\) {re.escape(how)}; {re.escape(ADVICE)}", told), told


@pytest.mark.parametrize("code", [0, 7])
def test_a_worker_that_ends_itself_is_reported_by_exit_code(code):
    want = f"reading worker 0 of 1 (process N) ended with exit code {code} while reading sample 5 (pixel-5); {ADVICE}"
    assert refusal(harmful.Exits(code), workers=1) == want


def test_a_worker_that_dies_before_it_read_is_reported():
    want = f"reading worker 0 of 1 (process N) was killed by signal 9 (SIGKILL) before its first sample; {ADVICE}"
    assert refusal(harmful.DeadOnArrival(), workers=1) == want


def test_a_worker_that_dies_while_it_waits_is_reported_at_the_next_batch():
    stream = loader(harmful.Plain(), batch_size=2, workers=1).stream(0, 16)
    next(stream)
    (process,) = living()
    time.sleep(0.3)  # three batches are ahead, samples 2 to 5 with the first two of them, and 0 and 1 were the first
    os.kill(process, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(
        DataError, match=r"^reading worker 0 of 1 \(process \d+\) was killed by signal 9 \(SIGKILL\) after reading"
    ) as caught:
        list(stream)
    assert "after reading sample 5 (pixel-5); " in str(caught.value)
    assert time.monotonic() - start < 5 and not living()


def living() -> list[int]:
    """Processes of reading workers of this one."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_death_that_is_not_requested_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(workers, "REPORT_DELAY_S", 0.2)
    stream = loader(harmful.Hangs(), workers=1).stream(0, 16)
    next(stream)
    os.kill(living()[0], signal.SIGKILL)  # while it reads the second batch
    deadline = time.monotonic() + 30
    while not caplog.records and time.monotonic() < deadline:  # as in a long step
        time.sleep(0.05)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "reading worker 0 of 1" in caplog.messages[0] and "was killed by signal 9 (SIGKILL)" in caplog.messages[0]
    with pytest.raises(DataError):
        list(stream)


def test_a_worker_that_hangs_in_a_sample_is_reported():
    hint = "check that its file system responds; train.workers=0 reads in the training process itself"
    want = (
        f"reading worker 0 of 1 (process N) timed out: no progress for 0.5 s while reading sample 5 (pixel-5) (train.timeout=0.5); {hint}"
    )
    start = time.monotonic()
    assert refusal(harmful.Hangs(), workers=1, timeout=0.5) == want
    assert time.monotonic() - start < 8 and not living()


def test_a_run_that_is_asked_to_stop_does_not_wait_long_for_a_worker_that_hangs(monkeypatch):
    monkeypatch.setattr(signals, "STOP_TIMEOUT_S", 1.0)
    stream = loader(harmful.Hangs(), batch_size=2, workers=1).stream(0, 16)
    next(stream)
    monkeypatch.setattr(signals._State, "received", signal.SIGTERM)
    with pytest.raises(DataError, match=r"^reading worker 0 of 1 \(process \d+\) timed out: no progress for 1 s while reading sample 5"):
        list(stream)
    assert not living()


def test_a_worker_that_hangs_in_the_data_sets_import_is_reported(monkeypatch):
    monkeypatch.setattr(workers, "START_TIMEOUT_S", 3.0)
    want = r"reading worker 0 of 1 \(process N\) timed out: no progress for 3 s before its first sample \(train.timeout=0.5\); .*"
    assert re.fullmatch(want, refusal(harmful.Sleeps(), workers=1, timeout=0.5))


def test_a_worker_that_is_stopped_is_reported_and_ended():
    stream = loader(harmful.Plain(), batch_size=2, workers=1, timeout=0.5).stream(0, 16)
    next(stream)
    os.kill(living()[0], signal.SIGSTOP)
    place = r"(while|after) reading sample \d+ \(pixel-"  # wherever it was just then
    with pytest.raises(DataError, match=rf"^reading worker 0 of 1 \(process \d+\) timed out: no progress for 0.5 s {place}"):
        list(stream)
    assert not living()


def test_samples_that_are_slow_each_are_not_taken_for_a_standstill(tmp_path):
    batches = list(loader(harmful.Slow(tmp_path, 0.3), batch_size=8, workers=1, timeout=1.0).stream(0, 2))  # a batch takes 2.4 s
    assert [len(batch.names) for batch in batches] == [8, 8]


@pytest.mark.parametrize("count", [0, 1])
def test_a_file_that_the_system_cannot_read_is_a_broken_sample(count):
    made = loader(harmful.Fails(), workers=count, broken_share=0.1)
    assert len(list(made.stream(0, 4))) == 4
    assert made.broken == {"pixel-5": "pixel-5: cannot be read: [Errno 5] Input/output error: '/far/x.jpg'"}


def test_a_sample_that_hangs_in_a_tool_without_workers_is_reported(tmp_path):
    script = tmp_path / "tool.py"
    script.write_text(
        "from ppface.core.run import cli\nfrom ppface.data.loading.loader import Loader\nfrom tests.data.loading import harmful\n"
        "cli.run(lambda: list(Loader(harmful.Hangs(), [], 4, 0, 0, 1, shuffle=False, timeout=1).stream(0, 4)))\n"
    )
    done = subprocess.run([sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    want = "sample 5 (pixel-5): reading timed out after 1 s (train.timeout=1); check that its file system responds"
    assert (done.returncode, done.stderr) == (3, f"error: {want}\n")


@pytest.mark.parametrize("count", [0, 1])
def test_a_bug_in_a_data_set_keeps_its_kind_and_reports_the_sample(count):
    with pytest.raises(KeyError) as caught:
        list(loader(harmful.Stumbles(), workers=count).stream(0, 4))
    if sys.version_info >= (3, 11):
        first, *more = caught.value.__notes__
        assert first == "while reading sample 5 (pixel-5)"
        assert [note.partition("\n")[0] for note in more] == ["in reading worker 0:"][:count]
        assert all('return {}["gt_boxes"]' in note for note in more)


def test_an_exception_that_cannot_be_pickled_is_reported_by_another():
    with pytest.raises(RuntimeError, match=r"^StuckError: 1 and 2"):
        list(loader(harmful.Sticks(), workers=1).stream(0, 4))


def test_a_data_set_without_a_readable_sample_is_reported_alike_by_workers():
    told = {refusal(harmful.AllTorn(), workers=count) for count in (0, 1)}
    assert told == {"no sample of this data set can be read; the first: pixel-0: broken picture: torn"}


def test_workers_report_all_broken_samples():
    one = loader(harmful.Torn(), broken_share=0.5)
    names = [name for batch in one.stream(0, 8) for name in batch.names]
    assert one.broken == {"pixel-5": "pixel-5: broken picture: torn"}
    assert names.count("pixel-6") == 4 and "pixel-5" not in names  # two passes


@pytest.mark.parametrize("count", [0, 2])
def test_broken_samples_are_listed_in_a_file_as_they_are_met(tmp_path, count):
    one = loader(harmful.Torn(), broken_share=0.5, workers=count)
    one.list_in(tmp_path / "broken.txt")
    list(one.stream(0, 8))
    again = loader(harmful.Torn(), broken_share=0.5, workers=count)  # as a run that goes on
    again.list_in(tmp_path / "broken.txt")
    list(again.stream(8, 16))
    assert (tmp_path / "broken.txt").read_text() == "pixel-5: broken picture: torn\n"


def test_a_list_that_cannot_be_written_does_not_end_a_run(tmp_path):
    one = loader(harmful.Torn(), broken_share=0.5, workers=0)
    one.list_in(tmp_path)
    assert len(list(one.stream(0, 4))) == 4 and len(one.broken) == 1


def test_a_data_set_that_cannot_be_loaded_in_a_worker_is_reported():
    want = "cannot load the data set: ModuleNotFoundError: No module named 'no_such_library'; "
    assert refusal(harmful.NotHere(), workers=1) == f"reading worker 0 {want}train.workers=0 reads in the training process itself"


def test_a_data_set_that_cannot_be_sent_is_reported():
    want = r"train\.dataset or its transforms cannot be pickled for workers: \w+: .*lambda.*; "
    assert re.fullmatch(want + r"train\.workers=0 reads in the training process itself", refusal(harmful.Local()))


def test_processes_that_cannot_be_started_are_reported(monkeypatch):
    started = workers.Worker.__init__

    def fails(self, number, reader):
        if number == 1:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started(self, number, reader)

    monkeypatch.setattr(workers.Worker, "__init__", fails)
    want = "reading worker 1 of 2 cannot be started: Resource temporarily unavailable; try fewer train.workers"
    assert refusal(harmful.Plain()) == want
    assert not living()


def test_a_stop_that_ends_the_workers_too_lets_the_step_be_finished(monkeypatch):
    want = [batch.arrays["label"].tolist() for batch in loader(harmful.Plain()).stream(0, 8)]
    stream = loader(harmful.Plain(), workers=1).stream(0, 8)
    got = [next(stream).arrays["label"].tolist()]
    os.kill(living()[0], signal.SIGTERM)
    monkeypatch.setattr(signals, "stop_signal", lambda: True)
    assert got + [batch.arrays["label"].tolist() for batch in stream] == want


def test_a_worker_that_is_terminated_alone_is_reported():
    stream = loader(harmful.Plain(), workers=1).stream(0, 16)
    next(stream)
    os.kill(living()[0], signal.SIGTERM)
    with pytest.raises(DataError, match=r"was killed by signal 15 \(SIGTERM\)"):
        list(stream)


def test_the_end_of_a_stream_ends_its_workers_soon(tmp_path):
    stream = loader(harmful.Slow(tmp_path, 3.0), batch_size=2).stream(0, 8)
    next(stream)
    assert len(living()) == 2
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 3 and not living()


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


SCRIPT = """
import sys
from ppface.core.run import cli
from ppface.data.loading.loader import Loader
from tests.data.loading import harmful

def main():
    for batch in Loader(harmful.Slow(sys.argv[1]), [], 4, 0, 0, 1, workers=2).stream(0, 10**6):
        print(len(batch.names), flush=True)

if __name__ == "__main__":
    cli.run(main)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_leaves_no_process_and_no_words_of_workers(tmp_path, number, code):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "read").mkdir()
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "read")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
    process.stdout.readline()
    deadline = time.monotonic() + 20
    while len(list((tmp_path / "read").iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    if number == signal.SIGKILL:
        process.kill()  # this one alone: the workers notice
    else:
        os.killpg(process.pid, number)
    _, words = process.communicate(timeout=20)  # all that hold its end of the pipe have ended
    assert process.returncode == code
    assert words.splitlines() == ([] if number == signal.SIGKILL else [f"stopped by {number.name}"])
    for file in (tmp_path / "read").iterdir():
        assert state(int(file.name)) in ("gone", "Z")  # or dead, and its new parent takes no notice of it


def test_a_worker_ends_silently_when_the_training_process_ends_with_a_result_unread(monkeypatch):
    monkeypatch.setattr(workers, "_exit_with_parent", lambda parent: None)
    training, worker = multiprocessing.get_context("spawn").Pipe()
    sent = []

    class Pipe:
        recv = worker.recv

        def send(self, result):
            worker.send(result)
            sent.append(result)
            training.close()  # from now on reading fails with "connection reset by peer"

    training.send(types.SimpleNamespace(batch=operator.eq))  # any function of two values that can be pickled
    training.send((0, [1]))
    workers.worker_main(0, Pipe(), [-1, 0])
    assert sent == [(False, None)]


def test_a_timeout_has_a_sense():
    with pytest.raises(ValueError, match=r"^Loader: expected a timeout of at least 0 seconds, received -1$"):
        loader(harmful.Plain(), timeout=-1)
