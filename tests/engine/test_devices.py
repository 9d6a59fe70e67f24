"""Several processes on one machine: what is said when one fails, who ends when one is killed, what comes from the seed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import paddle
import pytest

from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.engine import devices, world
from ppface.engine.world import World

ROOT = Path(__file__).resolve().parents[2]


def launch(script, capfd) -> tuple[int, str]:
    code = devices.launch([sys.executable, str(script)], 2)
    return code, capfd.readouterr().err


@pytest.mark.parametrize(
    ("says", "heard"),
    [
        ("noise\\nerror: b.jpg: broken\\n  more of it", "error: b.jpg: broken\n  more of it\n"),
        ("Traceback\\nKeyError: 3", "Traceback\nKeyError: 3\n"),
    ],
)
def test_the_error_of_another_process_is_reported(tmp_path, capfd, says, heard):
    script = tmp_path / "fails.py"
    script.write_text(
        "import os, sys, time\n"
        "if os.environ['PADDLE_TRAINER_ID'] == '0': time.sleep(60)\n"
        f"print('progress'); sys.stderr.write({says.encode().decode('unicode_escape')!r}); sys.exit(3)\n"
    )
    assert launch(script, capfd) == (3, heard)


def test_the_process_that_failed_counts_not_the_one_it_took_along(tmp_path, capfd):
    script = tmp_path / "fails.py"
    script.write_text(
        "import os, sys, time\n"
        "if os.environ['PADDLE_TRAINER_ID'] == '0': os.abort()\n"
        "time.sleep(0.2); sys.stderr.write('error: the reason\\n'); sys.exit(3)\n"
    )
    assert launch(script, capfd) == (3, "error: the reason\n")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_was_killed_is_named_not_the_one_that_aborts_for_it(tmp_path, capfd, victim):
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, signal, sys, time\n"
        f"if os.environ['PADDLE_TRAINER_ID'] != '{victim}': time.sleep(0.3); os.abort()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = f"error: process {victim} of 2 was killed by signal 9 (SIGKILL); Linux kills processes when memory runs out, see dmesg"
    code, said = launch(script, capfd)
    assert (code, said.strip()) == (137, f"{told}; continue the run with --resume")


def test_a_training_one_of_whose_processes_is_killed_says_so_without_a_traceback(tmp_path, capfd):
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, signal, sys\n"
        "from ppface.core.run import cli\nfrom ppface.engine.world import World\n"
        "def main():\n"
        "    world = World('cpu')\n"
        "    with world.failing_together():\n"
        "        for step in range(5):\n"
        "            if step == 3 and world.rank == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "            world.mean({'loss': 1.0})\n"
        "cli.run(main)\n"
    )
    code, said = launch(script, capfd)
    assert code == 137 and "error: process 1 of 2 was killed by signal 9 (SIGKILL)" in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize(("error", "code"), [("DataError", 3), ("KeyError", 1)])
def test_where_the_data_of_one_process_fails_all_save_the_steps_before_and_it_reports_why(tmp_path, capfd, error, code):
    script = tmp_path / "fails.py"
    script.write_text(
        "from pathlib import Path\n"
        "from ppface.core.run import cli\nfrom ppface.core.errors import DataError\nfrom ppface.engine.world import World\n"
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.engine import resumes\n"
        "def main():\n"
        "    world = World('cpu')\n"
        f"    made = resumes.trainer(Path({str(tmp_path / 'run')!r}), 'replicated', world)\n"
        "    plain = made.loader.stream\n"
        "    def stream(start, end):\n"
        "        yield from plain(start, 5 if world.rank else end)\n"
        f"        raise {error}('the disk is gone')\n"
        "    made.loader.stream = stream\n"
        "    made.train()\n"
        "cli.run(main)\n"
    )
    found, said = launch(script, capfd)
    assert found == code and said.rstrip().endswith("error: the disk is gone" if code == 3 else "KeyError: 'the disk is gone'"), said
    assert CheckpointFolder(tmp_path / "run" / "checkpoints").find("last").name == "step_00000005"


def test_a_mistake_that_all_processes_meet_is_reported_once(tmp_path, capfd):
    script = tmp_path / "fails.py"
    script.write_text(
        "import os, sys, time\n"
        "time.sleep(1.0 if os.environ['PADDLE_TRAINER_ID'] == '0' else 0.0)\n"
        "sys.stderr.write('error: the reason\\n'); sys.exit(3)\n"
    )
    assert launch(script, capfd) == (3, "error: the reason\n")


def test_the_processes_of_a_launcher_that_was_killed_end(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(
        "import os, sys, time\nfrom pathlib import Path\nfrom ppface.engine.world import World\n"
        "os.environ['PADDLE_TRAINERS_NUM'] = '1'\nWorld('cpu')\n"
        f"Path({str(tmp_path)!r}, os.environ['PADDLE_TRAINER_ID'] + '.pid').write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    code = f"import sys; from ppface.engine import devices; devices.launch([sys.executable, {str(child)!r}], 2)"
    launcher = subprocess.Popen([sys.executable, "-c", code])
    files = [tmp_path / "0.pid", tmp_path / "1.pid"]
    wait_until(lambda: all(file.is_file() and file.read_text() for file in files))
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    pids = [int(file.read_text()) for file in files]
    wait_until(lambda: not any(alive(pid) for pid in pids))
    assert [alive(pid) for pid in pids] == [False, False]


CHILD = """
import os, time
from pathlib import Path
from ppface.core.run import cli
from ppface.core.run import signals
HERE = Path(__file__).parent
RANK = os.environ["PADDLE_TRAINER_ID"]

def main():
    def write(what):
        (HERE / f"{{RANK}}.{{what}}").write_text(str(os.getpid()))
    {body}

cli.run(main)
"""


class Launcher:
    """A tool that launches two processes with this body, each of which writes the file RANK.pid when it is ready."""

    def __init__(self, folder, body: str):
        self.folder = folder
        (folder / "child.py").write_text(CHILD.format(body=body.replace("\n", "\n    ")))
        command = f"devices.launch([sys.executable, {str(folder / 'child.py')!r}], 2)"
        code = f"import sys; from ppface.core.run import cli; from ppface.engine import devices; cli.run(lambda: {command})"
        self._said = folder / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen([sys.executable, "-c", code], stderr=said)
        wait_until(lambda: all(file.is_file() and file.read_text() for file in self.files("pid")))

    def files(self, what: str) -> list:
        return [self.folder / f"{rank}.{what}" for rank in range(2)]

    def said(self) -> str:
        return self._said.read_text()

    def end(self) -> tuple[int, str, float, list[bool]]:
        """(exit code, what was said, seconds, who is still alive)."""
        start = time.monotonic()
        try:
            self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.wait()
        seconds = time.monotonic() - start
        return self.process.returncode, self.said(), seconds, [alive(int(file.read_text())) for file in self.files("pid")]


FINISHES = "with signals.deferred('finishing') as asked:\n    write('pid')\n    while not asked(): time.sleep(0.01)\n    time.sleep({wait})\n    write('done')"


def test_a_signal_to_the_launcher_reaches_every_process_and_all_are_awaited(tmp_path):
    launcher = Launcher(tmp_path, FINISHES.format(wait="0.2 + int(RANK)"))
    launcher.process.terminate()
    assert launcher.end()[::3] == (143, [False, False])
    assert all(file.is_file() for file in launcher.files("done"))


def test_a_second_signal_to_the_launcher_ends_every_process_at_once(tmp_path):
    launcher = Launcher(tmp_path, FINISHES.format(wait=60))
    launcher.process.send_signal(signal.SIGINT)
    wait_until(lambda: "SIGINT: finishing" in launcher.said())
    time.sleep(0.5)  # a signal within 0.1 s of the first one counts as the same
    launcher.process.terminate()
    code, said, seconds, left = launcher.end()
    assert (code, said) == (143, "SIGINT: finishing\nSIGTERM again: stopped at once\n")
    assert seconds < 2
    assert left == [False, False]


def test_a_process_that_waits_in_vain_for_one_that_a_signal_ended_is_ended(tmp_path):
    """The one had not met the others yet when it heard, and ended; they wait for it outside of Python."""
    waits = "import hashlib\n    with signals.deferred(''):\n        write('pid')\n        hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    launcher = Launcher(tmp_path, f"if RANK == '0':\n    {waits}\nwrite('pid')\ntime.sleep(60)")
    launcher.process.terminate()
    code, _, seconds, left = launcher.end()
    assert (code, left) == (143, [False, False])
    assert seconds < 15


def test_paddles_own_launcher_is_stopped_in_order(tmp_path):
    """It sends SIGTERM three times to each process; they finish the step, save and end."""
    log, folder = tmp_path / "log", tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        "2",
        "--log_dir",
        str(log),
        str(ROOT / "tools" / "train.py"),
    ]
    options = ["trainer.epochs=null", "trainer.iterations=100000", "trainer.log_every=1", "train.batch_size=4", "train.dataset.length=16"]
    command += [
        "-c",
        str(ROOT / "configs" / "quickstart" / "detection.yml"),
        "--folder",
        str(folder),
        "-o",
        "device=cpu",
        "evaluators=[]",
        *options,
    ]
    launcher = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (folder / "log.jsonl").is_file() and (folder / "log.jsonl").read_text())
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        launcher.terminate()
        launcher.wait(40)
    finally:
        launcher.kill()
        launcher.wait()
    assert len(children) == 2 and not any(alive(int(pid)) for pid in children)
    told = max(json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines())
    assert CheckpointFolder(folder / "checkpoints").find("last").name == f"step_{told:08d}"
    assert "stopped by SIGTERM" in (log / "workerlog.0").read_text()


def wait_until(true) -> None:
    deadline = time.monotonic() + 50
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(done.strip()) and not done.startswith("Z")


def test_a_world_is_seeded():
    drawn = []
    for seed in (5, 5, 6):
        World("cpu", seed)
        drawn.append(float(paddle.rand([])))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("where", "rank"), [("data", "0"), ("forward", "1")])
def test_a_mistake_that_one_process_meets_is_reported_once_and_ends_all(tmp_path, capfd, where, rank):
    script = tmp_path / "one.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\nimport paddle\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.engine.toys as t\nfrom ppface.core.run import cli\nfrom ppface.core.errors import DataError\n"
        "from ppface.data.loading.loader import Loader\nfrom ppface.engine.world import World\nfrom ppface.optim import Momentum\n"
        f"mine, data = os.environ['PADDLE_TRAINER_ID'] == {rank!r}, {where == 'data'}\n"
        "class Norm(t.Line):\n"
        "    def forward(self, batch):\n"
        "        if mine and not data: raise DataError('label 9: expected a label under 2')\n"
        "        sums = batch['image'].astype('float32').sum()\n"
        "        paddle.distributed.all_reduce(sums)\n"
        "        return super().forward(batch)\n"
        "def main():\n"
        "    world = World('cpu')\n"
        "    broken = range(16) if mine and data else ()\n"
        "    loader = Loader(t.Pixels(broken), [], batch_size=8, seed=3, rank=world.rank, world=world.size)\n"
        "    make = lambda **s: Momentum(learning_rate=0.1, **s)\n"
        f"    t.Trainer(t.step(Norm()), make, loader, [], world, Path({str(tmp_path)!r}), 0, iterations=4).train()\n"
        "cli.run(main)\n"
    )
    code, said = launch(script, capfd)
    assert code == 3
    told = "no sample of this data set can be read" if where == "data" else "label 9: expected a label under 2"
    assert said.count(f"error: {told}") == 1
    assert "Traceback" not in said


def test_only_the_list_of_flags_is_left_out_of_what_paddle_prints(capsys):
    block = "======= Modified FLAGS detected =======\nFLAGS(name='FLAGS_a', current_value=True)\nFLAGS(name='b')\n=====\n"
    with pytest.raises(RuntimeError), world._without_flags():
        sys.stderr.write(f"before\n{block}after\n")
        raise RuntimeError
    assert capsys.readouterr().err == "before\nafter\n"
