"""The command itself: a real start with exported models, and a stop by a signal in the middle of requests."""

import json
import os
import signal
import socket
import threading
import time

import httpx
import pytest

from tests.serve.conftest import picture

START = """import os, sys
with open(sys.argv.pop(1), "w") as file:
    file.write(str(os.getpid()))
from ppface.__main__ import main
main()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def until_it_answers(url: str, thread: threading.Thread) -> None:
    while thread.is_alive():
        try:
            httpx.get(f"{url}/ready", timeout=5)
            return
        except httpx.TransportError:
            time.sleep(0.1)


def test_it_serves_and_a_signal_stops_it_after_what_was_begun(trial, toy_export, run_tool, tmp_path):
    script, pid, port, done = tmp_path / "start.py", tmp_path / "pid", free_port(), []
    script.write_text(START)
    (tmp_path / "key").write_text("0f" * 32)
    models = ("--detector", trial.export, "--embedder", toy_export, "--gallery", tmp_path / "people.db", "--key", tmp_path / "key")
    server = threading.Thread(target=lambda: done.append(run_tool(script, pid, "serve", *models, "--port", port, "--threads", 1)))
    server.start()
    url = f"http://127.0.0.1:{port}"
    until_it_answers(url, server)
    about = httpx.get(f"{url}/v1/info", timeout=20).json()
    assert (about["detector"], about["landmarks"], about["gallery"], about["encrypted"]) == (trial.export.name, 5, True, True)
    content, answers = picture(size=(480, 640), kind=".jpg"), []
    senders = [
        threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/v1/embed", content=content, timeout=20))) for _ in range(6)
    ]
    for sender in senders:
        sender.start()
    while "in_flight 6" not in (text := httpx.get(f"{url}/metrics", timeout=20).text) and 'embed",status="200"} 6' not in text:
        time.sleep(0.005)
    os.kill(int(pid.read_text()), signal.SIGTERM)
    for thread in (*senders, server):
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.text for answer in answers}) == 1 and answers[0].json()["width"] == 640
    assert done[0].returncode == 143, done[0].stderr
    *lines, last = done[0].stderr.splitlines()
    assert last == "stopped by SIGTERM"
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert events[0] == "started" and events[-1] == "stopped" and "stopping" in events


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 1, "error: --host 0.0.0.0: other machines can reach it: expected --keys FILE with it (`ppface serve new-key NAME`), or 127.0.0.1\n"),
        (["--keys", "absent.yml"], 3, "error: absent.yml: cannot read these keys: No such file or directory\n"),
        (["--max-bytes", "0"], 1, "error: limits: expected a number above 0 for bytes, received 0\n"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_before_a_model_is_opened(run_tool, arguments, code, message):
    done = run_tool("ppface/__main__.py", "serve", "--detector", "absent", "--embedder", "absent", *arguments)
    assert (done.returncode, done.stderr) == (code, message)
